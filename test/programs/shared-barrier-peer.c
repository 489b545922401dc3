/*
 * A process-shared barrier between threads of two processes, of which the second has nothing preloaded:
 * nobody is ahead of the others by more than a round, one thread of each round is the serial one, and it
 * can be destroyed right after (POSIX pthread_barrierattr_setpshared).
 */
#include "check.h"

#include "peer.h"

enum { THREADS = 7, ROUNDS = 300 };

static struct shared {
    pthread_barrier_t barrier, once[ROUNDS / 10];
    int arrived[ROUNDS], serial[ROUNDS];
} * s;

static void *body(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        __atomic_add_fetch(&s->arrived[i], 1, __ATOMIC_SEQ_CST);
        int serial = pthread_barrier_wait(&s->barrier);
        CHECK(serial == 0 || serial == PTHREAD_BARRIER_SERIAL_THREAD);
        CHECK_EQ(__atomic_load_n(&s->arrived[i], __ATOMIC_SEQ_CST), 2 * THREADS);
        if (serial) {
            __atomic_add_fetch(&s->serial[i], 1, __ATOMIC_SEQ_CST);
        }
        if (i % 10 == 0) {
            if (pthread_barrier_wait(&s->once[i / 10])) {
                /* The others may not have left yet. */
                OK(pthread_barrier_destroy(&s->once[i / 10]));
                memset(&s->once[i / 10], 0xff, sizeof(pthread_barrier_t));
            }
        }
    }
    return argument;
}

int main(int argc, char **argv)
{
    pthread_barrierattr_t attr;

    (void)argv;
    watchdog();
    if (argc > 1) {
        s = shared_memory();
        run_threads(THREADS, body);
        return 0;
    }
    s = make_shared_memory();
    OK(pthread_barrierattr_init(&attr));
    OK(pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
    OK(pthread_barrier_init(&s->barrier, &attr, 2 * THREADS));
    for (int i = 0; i < ROUNDS / 10; i++) {
        OK(pthread_barrier_init(&s->once[i], &attr, 2 * THREADS));
    }
    pid_t child = peer("peer");
    run_threads(THREADS, body);
    CHECK_EQ(reap(child), 0);
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(s->serial[i], 1);
    }
    OK(pthread_barrier_destroy(&s->barrier));
    return 0;
}
