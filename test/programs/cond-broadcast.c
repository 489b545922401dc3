/*
 * pthread_cond_broadcast wakes every waiter, generation after generation, and each wakes owning
 * the mutex; a recursive mutex held once may be used (POSIX pthread_cond_broadcast).
 */
#include "check.h"

enum { THREADS = 50, GENERATIONS = 50 };

static pthread_mutex_t mutex;
static pthread_cond_t everyone = PTHREAD_COND_INITIALIZER;
static pthread_cond_t counted = PTHREAD_COND_INITIALIZER;
static int generation, waiting, inside;

static void *body(void *argument)
{
    OK(pthread_mutex_lock(&mutex));
    for (int i = 0; i < GENERATIONS; i++) {
        int mine = generation;

        CHECK_EQ(mine, i);
        if (++waiting == THREADS) {
            OK(pthread_cond_signal(&counted));
        }
        while (generation == mine) {
            OK(pthread_cond_wait(&everyone, &mutex));
        }
        CHECK_EQ(++inside, 1);
        inside--;
    }
    OK(pthread_mutex_unlock(&mutex));
    return argument;
}

int main(void)
{
    int types[] = { PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK };
    pthread_t threads[THREADS];
    pthread_mutexattr_t attr;

    watchdog();
    for (int t = 0; t < 3; t++) {
        OK(pthread_mutexattr_init(&attr));
        OK(pthread_mutexattr_settype(&attr, types[t]));
        OK(pthread_mutex_init(&mutex, &attr));
        generation = waiting = 0;
        for (int i = 0; i < THREADS; i++) {
            threads[i] = start(body, NULL);
        }
        for (int i = 0; i < GENERATIONS; i++) {
            OK(pthread_mutex_lock(&mutex));
            while (waiting < THREADS) {
                OK(pthread_cond_wait(&counted, &mutex));
            }
            waiting = 0;
            generation++;
            OK(pthread_cond_broadcast(&everyone));
            OK(pthread_mutex_unlock(&mutex));
        }
        for (int i = 0; i < THREADS; i++) {
            finish(threads[i]);
        }
        OK(pthread_mutex_destroy(&mutex));
    }
    return 0;
}
