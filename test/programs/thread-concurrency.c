/*
 * The concurrency level is what was set last and 0 before; negative ones are refused
 * (POSIX pthread_setconcurrency). Identifiers and tids of live threads differ, whoever used them before.
 */
#include "check.h"

#include <limits.h>
#include <semaphore.h>

enum { THREADS = 200 };

static sem_t go;
static pid_t tids[THREADS];

static void *body(void *argument)
{
    *(pid_t *)argument = gettid();
    sem_wait(&go);
    CHECK_EQ(*(pid_t *)argument, gettid());
    return argument;
}

int main(void)
{
    static pthread_t threads[THREADS];

    watchdog();
    CHECK_EQ(pthread_getconcurrency(), 0);
    OK(pthread_setconcurrency(5));
    CHECK_EQ(pthread_getconcurrency(), 5);
    CHECK_EQ(pthread_setconcurrency(-1), EINVAL);
    CHECK_EQ(pthread_getconcurrency(), 5);
    OK(pthread_setconcurrency(0));
    CHECK_EQ(pthread_getconcurrency(), 0);

    SYS(sem_init(&go, 0, 0));
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < THREADS; i++) {
            tids[i] = 0;
            threads[i] = start(body, &tids[i]);
        }
        for (int i = 0; i < THREADS; i++) {
            while (*(volatile pid_t *)&tids[i] == 0) {
                sched_yield();
            }
        }
        for (int i = 0; i < THREADS; i++) {
            CHECK(tids[i] != gettid());
            for (int j = 0; j < i; j++) {
                CHECK(!pthread_equal(threads[i], threads[j]));
                CHECK(tids[i] != tids[j]);
            }
        }
        for (int i = 0; i < THREADS; i++) {
            sem_post(&go);
        }
        for (int i = 0; i < THREADS; i++) {
            CHECK(finish(threads[i]) == &tids[i]);
        }
    }
    return 0;
}
