/*
 * setuid, setgid and setgroups apply to the whole process while threads run, block and end (POSIX
 * setuid; libc makes a call of the kernel's per-thread ids on every thread).
 */
#include "check.h"

#include <grp.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>

enum { THREADS = 20 };

static atomic_int stop;
static sem_t go;

static void *body(void *argument)
{
    int blocked = *(int *)argument % 2;

    if (blocked) {
        sem_wait(&go);
    }
    while (!stop) {
        usleep(100);
        sched_yield();
    }
    /* Of the kernel thread that runs us now, whichever that is. */
    CHECK_EQ(syscall(SYS_getuid), 12345);
    CHECK_EQ(syscall(SYS_getgid), 54321);
    return argument;
}

static void *changes(void *argument)
{
    for (int i = 0; i < 20; i++) {
        SYS(setuid(getuid()));
    }
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];

    watchdog();
    if (geteuid() != 0) {
        return 77;
    }
    SYS(sem_init(&go, 0, 0));
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        threads[i] = start(body, &numbers[i]);
    }
    finish(start(changes, NULL));
    SYS(setgroups(0, NULL));
    SYS(setgid(54321));
    SYS(setuid(12345));
    CHECK(setuid(0) == -1);
    for (int i = 0; i < THREADS; i++) {
        sem_post(&go);
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    return 0;
}
