/*
 * gettid is the same before and after everything that blocks, by function and by system call,
 * differs between live threads and is the process id in main (gettid(2)).
 */
#include "check.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

enum { THREADS = 100 };

static pid_t ids[THREADS];
static pthread_barrier_t barrier;

static void *body(void *argument)
{
    pid_t mine = gettid();
    int ends[2];
    char byte;

    CHECK(mine > 0);
    CHECK(mine != getpid());
    CHECK_EQ(syscall(SYS_gettid), mine);
    *(pid_t *)argument = mine;
    pthread_barrier_wait(&barrier);
    CHECK_EQ(gettid(), mine);
    sched_yield();
    CHECK_EQ(gettid(), mine);
    usleep(100);
    CHECK_EQ(syscall(SYS_gettid), mine);
    SYS(pipe(ends));
    write_all(ends[1], "x", 1);
    read_all(ends[0], &byte, 1);
    close(ends[0]);
    close(ends[1]);
    CHECK_EQ(gettid(), mine);
    /* It names this thread in this process. */
    SYS(syscall(SYS_tgkill, getpid(), mine, 0));
    CHECK_EQ(getpid(), syscall(SYS_getpid));
    pthread_barrier_wait(&barrier);
    CHECK_EQ(syscall(SYS_gettid), mine);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];

    watchdog();
    OK(pthread_barrier_init(&barrier, NULL, THREADS + 1));
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start(body, &ids[i]);
    }
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++) {
        for (int k = 0; k < i; k++) {
            CHECK(ids[i] != ids[k]);
        }
    }
    CHECK_EQ(gettid(), getpid());
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(gettid(), getpid());
    CHECK_EQ(syscall(SYS_gettid), getpid());
    return 0;
}
