/*
 * A condition may be destroyed, and its memory unmapped, right after a broadcast that woke all
 * waiters: destroy waits until they no longer use it (POSIX pthread_cond_destroy).
 */
#include "check.h"

#include <sys/mman.h>

enum { THREADS = 8, ROUNDS = 150, PAGE = 4096 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t counted = PTHREAD_COND_INITIALIZER;
static pthread_cond_t *cond;
static int waiting, generation;

static void *body(void *argument)
{
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_cond_t *mine = cond;
        int seen = generation;

        if (++waiting == THREADS) {
            pthread_cond_signal(&counted);
        }
        /* The predicate is checked through the mutex alone: the condition may be gone already. */
        do {
            OK(pthread_cond_wait(mine, &mutex));
        } while (generation == seen);
    }
    pthread_mutex_unlock(&mutex);
    return argument;
}

static pthread_cond_t *make(void)
{
    pthread_cond_t *made = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                                0);

    CHECK(made != MAP_FAILED);
    OK(pthread_cond_init(made, NULL));
    return made;
}

int main(void)
{
    pthread_t threads[THREADS];

    watchdog();
    cond = make();
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start(body, NULL);
    }
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        while (waiting < THREADS) {
            pthread_cond_wait(&counted, &mutex);
        }
        pthread_cond_t *old = cond;
        waiting = 0;
        generation++;
        cond = make();
        OK(pthread_cond_broadcast(old));
        if (i % 2) {
            pthread_mutex_unlock(&mutex);
        }
        OK(pthread_cond_destroy(old));
        SYS(munmap(old, PAGE));
        if (i % 2 == 0) {
            pthread_mutex_unlock(&mutex);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    return 0;
}
