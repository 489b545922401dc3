/*
 * pthread_cond_signal wakes a waiter and with one signal per token nobody waits for ever; a
 * signal without waiters is not remembered (POSIX pthread_cond_signal).
 */
#include "check.h"

enum { THREADS = 20, TOKENS = 2000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int tokens, taken, done;

static void *body(void *argument)
{
    pthread_mutex_lock(&mutex);
    for (;;) {
        while (tokens == 0 && !done) {
            OK(pthread_cond_wait(&cond, &mutex));
        }
        if (tokens == 0) {
            break;
        }
        tokens--;
        taken++;
    }
    pthread_mutex_unlock(&mutex);
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];
    struct timespec t;

    watchdog();
    OK(pthread_cond_signal(&cond));
    OK(pthread_cond_broadcast(&cond));
    pthread_mutex_lock(&mutex);
    t = from_now(CLOCK_REALTIME, 10);
    /* The earlier signal does not wake this one; a spurious wake-up is allowed, so look twice. */
    int error = pthread_cond_timedwait(&cond, &mutex, &t);
    if (error == 0) {
        error = pthread_cond_timedwait(&cond, &mutex, &t);
    }
    CHECK_EQ(error, ETIMEDOUT);
    pthread_mutex_unlock(&mutex);

    for (int i = 0; i < THREADS; i++) {
        threads[i] = start(body, NULL);
    }
    for (int i = 0; i < TOKENS; i++) {
        pthread_mutex_lock(&mutex);
        tokens++;
        if (i % 2) {
            OK(pthread_cond_signal(&cond));
        }
        pthread_mutex_unlock(&mutex);
        if (i % 2 == 0) {
            /* Signalling without the mutex is allowed as well. */
            OK(pthread_cond_signal(&cond));
        }
    }
    for (;;) {
        pthread_mutex_lock(&mutex);
        int left = tokens;
        pthread_mutex_unlock(&mutex);
        if (left == 0) {
            break;
        }
        nap(1);
    }
    pthread_mutex_lock(&mutex);
    done = 1;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(taken, TOKENS);
    return 0;
}
