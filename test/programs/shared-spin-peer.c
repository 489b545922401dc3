/*
 * A process-shared spin lock between threads of two processes, of which the second has nothing preloaded
 * (POSIX pthread_spin_init with PTHREAD_PROCESS_SHARED).
 */
#include "check.h"

#include "peer.h"

enum { THREADS = 4, ROUNDS = 2000 };

static struct shared {
    pthread_spinlock_t spin;
    long a, b;
} * s;

static void *body(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 8 == 0) {
            while (pthread_spin_trylock(&s->spin)) {
                sched_yield();
            }
        } else {
            OK(pthread_spin_lock(&s->spin));
        }
        CHECK_EQ(s->a, s->b);
        s->a++;
        if (i % 128 == 0) {
            CHECK_EQ(pthread_spin_trylock(&s->spin), EBUSY);
        }
        s->b++;
        OK(pthread_spin_unlock(&s->spin));
    }
    return argument;
}

int main(int argc, char **argv)
{
    (void)argv;
    watchdog();
    if (argc > 1) {
        s = shared_memory();
        run_threads(THREADS, body);
        return 0;
    }
    s = make_shared_memory();
    OK(pthread_spin_init(&s->spin, PTHREAD_PROCESS_SHARED));
    pid_t child = peer("peer");
    run_threads(THREADS, body);
    CHECK_EQ(reap(child), 0);
    CHECK_EQ(s->a, 2 * THREADS * ROUNDS);
    OK(pthread_spin_destroy(&s->spin));
    return 0;
}
