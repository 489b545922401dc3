/*
 * A barrier lets exactly its count through together, round after round, names one serial thread
 * each time, and can be destroyed right after the last round (POSIX pthread_barrier_wait).
 */
#include "check.h"

#include <stdatomic.h>

enum { THREADS = 8, ROUNDS = 1000 };

static pthread_barrier_t barrier;
static atomic_int arrived, serial;

static void *body(void *argument)
{
    for (int i = 1; i <= ROUNDS; i++) {
        arrived++;
        int result = pthread_barrier_wait(&barrier);

        CHECK(arrived >= i * THREADS);
        if (result == PTHREAD_BARRIER_SERIAL_THREAD) {
            serial++;
        } else {
            OK(result);
        }
        /* A second round, so that nobody arrives for the next one before all have looked. */
        pthread_barrier_wait(&barrier);
        CHECK(arrived >= i * THREADS);
        CHECK(serial >= i);
    }
    return argument;
}

static void *leaves_last(void *argument)
{
    if (pthread_barrier_wait(argument) == PTHREAD_BARRIER_SERIAL_THREAD) {
        OK(pthread_barrier_destroy(argument));
        memset(argument, 0xff, sizeof(pthread_barrier_t));
        free(argument);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];

    watchdog();
    CHECK_EQ(pthread_barrier_init(&barrier, NULL, 0), EINVAL);
    OK(pthread_barrier_init(&barrier, NULL, 1));
    CHECK_EQ(pthread_barrier_wait(&barrier), PTHREAD_BARRIER_SERIAL_THREAD);
    OK(pthread_barrier_destroy(&barrier));

    OK(pthread_barrier_init(&barrier, NULL, THREADS));
    run_threads(THREADS, body);
    CHECK_EQ(arrived, THREADS * ROUNDS);
    CHECK_EQ(serial, ROUNDS);
    OK(pthread_barrier_destroy(&barrier));

    for (int round = 0; round < 50; round++) {
        pthread_barrier_t *gone = malloc(sizeof(*gone));

        OK(pthread_barrier_init(gone, NULL, THREADS));
        for (int i = 0; i < THREADS; i++) {
            threads[i] = start(leaves_last, gone);
        }
        for (int i = 0; i < THREADS; i++) {
            finish(threads[i]);
        }
    }
    return 0;
}
