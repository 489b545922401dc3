/*
 * Mutual exclusion of every type, protocol and sharing under contention: short sections, sections
 * that yield and sections that sleep lose no update (POSIX pthread_mutex_lock).
 */
#include "check.h"

#include <sched.h>

enum { THREADS = 12, ROUNDS = 600 };

static pthread_mutex_t mutex;
static volatile long a, b;

static void *body(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 7 == 0) {
            while (pthread_mutex_trylock(&mutex) != 0) {
                sched_yield();
            }
        } else {
            OK(pthread_mutex_lock(&mutex));
        }
        CHECK_EQ(a, b);
        a++;
        if (i % 16 == 0) {
            sched_yield();
        }
        if (i % 200 == 0) {
            usleep(1);
        }
        b++;
        OK(pthread_mutex_unlock(&mutex));
    }
    return argument;
}

int main(void)
{
    struct {
        int type, shared, protocol, robust;
    } kinds[] = {
        { PTHREAD_MUTEX_NORMAL, 0, PTHREAD_PRIO_NONE, 0 },
        { PTHREAD_MUTEX_RECURSIVE, 0, PTHREAD_PRIO_NONE, 0 },
        { PTHREAD_MUTEX_ERRORCHECK, 0, PTHREAD_PRIO_NONE, 0 },
        { PTHREAD_MUTEX_ADAPTIVE_NP, 0, PTHREAD_PRIO_NONE, 0 },
        { PTHREAD_MUTEX_NORMAL, 1, PTHREAD_PRIO_NONE, 0 },
        { PTHREAD_MUTEX_NORMAL, 0, PTHREAD_PRIO_NONE, 1 },
        { PTHREAD_MUTEX_NORMAL, 0, PTHREAD_PRIO_INHERIT, 0 },
        { PTHREAD_MUTEX_RECURSIVE, 1, PTHREAD_PRIO_INHERIT, 0 },
    };

    watchdog();
    for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
        pthread_mutexattr_t attr;
        pthread_t threads[THREADS];

        OK(pthread_mutexattr_init(&attr));
        OK(pthread_mutexattr_settype(&attr, kinds[k].type));
        OK(pthread_mutexattr_setpshared(&attr, kinds[k].shared ? PTHREAD_PROCESS_SHARED
                                                               : PTHREAD_PROCESS_PRIVATE));
        OK(pthread_mutexattr_setprotocol(&attr, kinds[k].protocol));
        OK(pthread_mutexattr_setrobust(&attr, kinds[k].robust ? PTHREAD_MUTEX_ROBUST
                                                              : PTHREAD_MUTEX_STALLED));
        int error = pthread_mutex_init(&mutex, &attr);
        if (error == ENOTSUP && kinds[k].protocol != PTHREAD_PRIO_NONE) {
            continue;
        }
        OK(error);
        a = b = 0;
        for (int i = 0; i < THREADS; i++) {
            threads[i] = start(body, NULL);
        }
        for (int i = 0; i < THREADS; i++) {
            finish(threads[i]);
        }
        CHECK_EQ(a, THREADS * ROUNDS);
        CHECK_EQ(b, THREADS * ROUNDS);
        OK(pthread_mutex_destroy(&mutex));
    }
    return 0;
}
