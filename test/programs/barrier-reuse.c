/*
 * A barrier is used again at once by whoever leaves it, and may be destroyed and made anew by the serial
 * thread while the others are still leaving (POSIX pthread_barrier_wait). Private and process-shared.
 */
#include "check.h"

enum { THREADS = 5, ROUNDS = 400 };

static pthread_barrier_t outer, inner;
static int shared, sum;

static void init(pthread_barrier_t *barrier, unsigned n)
{
    pthread_barrierattr_t attr;

    OK(pthread_barrierattr_init(&attr));
    OK(pthread_barrierattr_setpshared(&attr, shared));
    CHECK_EQ(pthread_barrier_init(barrier, &attr, 0), EINVAL);
    OK(pthread_barrier_init(barrier, &attr, n));
}

static void *body(void *argument)
{
    for (int i = 1; i <= ROUNDS; i++) {
        __atomic_add_fetch(&sum, 1, __ATOMIC_SEQ_CST);
        int serial = pthread_barrier_wait(&inner);
        CHECK_EQ(__atomic_load_n(&sum, __ATOMIC_SEQ_CST), THREADS * i);
        if (serial) {
            CHECK_EQ(serial, PTHREAD_BARRIER_SERIAL_THREAD);
            OK(pthread_barrier_destroy(&inner));
            memset(&inner, 0x55, sizeof(inner));
            init(&inner, THREADS);
        }
        pthread_barrier_wait(&outer);
        pthread_barrier_wait(&outer);
    }
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];

    watchdog();
    for (shared = 0; shared < 2; shared++) {
        sum = 0;
        init(&outer, THREADS);
        init(&inner, THREADS);
        for (int i = 0; i < THREADS; i++) {
            threads[i] = start(body, NULL);
        }
        for (int i = 0; i < THREADS; i++) {
            finish(threads[i]);
        }
        OK(pthread_barrier_destroy(&outer));
        OK(pthread_barrier_destroy(&inner));
        init(&inner, 1);
        CHECK_EQ(pthread_barrier_wait(&inner), PTHREAD_BARRIER_SERIAL_THREAD);
        OK(pthread_barrier_destroy(&inner));
    }
    return 0;
}
