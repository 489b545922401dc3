/*
 * errno belongs to the thread: what other threads do while this one waits does not change it, and
 * its address is the same before and after (POSIX 2.3 errno).
 */
#include "check.h"

#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>

enum { THREADS = 40, ROUNDS = 100 };

static sem_t turn;

static void *body(void *argument)
{
    int odd = (int)(argument != NULL);
    int *where = &errno;

    for (int i = 0; i < ROUNDS; i++) {
        int want;

        if (odd) {
            CHECK_EQ(read(-1, &want, 1), -1);
            want = EBADF;
        } else {
            CHECK_EQ(open("/nowhere/at/all", O_RDONLY), -1);
            want = ENOENT;
        }
        CHECK_EQ(errno, want);
        sched_yield();
        CHECK_EQ(errno, want);
        CHECK_EQ(sem_wait(&turn), 0);
        CHECK_EQ(errno, want);
        CHECK_EQ(usleep(i % 10 == 0), 0);
        CHECK_EQ(errno, want);
        CHECK_EQ(sem_post(&turn), 0);
        CHECK(where == &errno);
        errno = 1000 + odd;
        sched_yield();
        CHECK_EQ(errno, 1000 + odd);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];

    watchdog();
    SYS(sem_init(&turn, 0, 2));
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start(body, i % 2 ? &turn : NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    return 0;
}
