/*
 * A thread calls exit while main is blocked, in each of several calls: the process ends at once with
 * that status, streams are flushed, and main does not come back (POSIX exit).
 */
#include "check.h"

#include <poll.h>
#include <semaphore.h>

static int fds[2];
static sem_t sem;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_t waiter;

static void *waits(void *argument)
{
    pause();
    return argument;
}

static void *exits(void *argument)
{
    nap(3);
    printf("status %d\n", *(int *)argument);
    exit(*(int *)argument);
}

static void block(int which)
{
    char byte;

    switch (which) {
    case 0:
        (void)!read(fds[0], &byte, 1);
        break;
    case 1:
        sem_wait(&sem);
        break;
    case 2:
        pthread_mutex_lock(&lock);
        pthread_cond_wait(&cond, &lock);
        break;
    case 3:
        pthread_join(waiter, NULL);
        break;
    case 4:
        poll(NULL, 0, -1);
        break;
    case 5:
        pthread_mutex_lock(&lock);
        pthread_mutex_lock(&lock);
        break;
    case 6:
        for (;;) {
        }
    case 7:
        sleep(1000);
        break;
    case 8:
        waitpid(getpid(), NULL, 0);
        pause();
        break;
    }
}

int main(void)
{
    watchdog();
    SYS(pipe(fds));
    SYS(sem_init(&sem, 0, 0));
    for (int i = 0; i < 9; i++) {
        int code = 10 + i;

        fflush(stdout);
        pid_t child = SYS(fork());
        if (child == 0) {
            watchdog();
            waiter = start(waits, NULL);
            start(exits, &code);
            block(i);
            _exit(1);
        }
        int status = reap(child);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), code);
    }
    return 0;
}
