/*
 * Children of children: each generation is forked by a thread of the one before, makes threads, uses
 * pipes and timers, and forks the next.
 */
#include "check.h"

#include <semaphore.h>

#define GENERATIONS 6

static __thread int mine;
static sem_t never;

static void *waits(void *argument)
{
    sem_wait(&never);
    return argument;
}

static void *passes(void *argument)
{
    int *fds = argument;
    char c;

    usleep(300);
    read_all(fds[0], &c, 1);
    return (void *)(long)c;
}

static int generation(int left);

static void *forks(void *argument)
{
    int left = (int)(long)argument;

    mine = left;
    pid_t child = SYS(fork());
    if (child == 0) {
        watchdog();
        CHECK_EQ(mine, left);
        _exit(generation(left - 1));
    }
    int status = reap(child);
    CHECK(WIFEXITED(status));
    return (void *)(long)WEXITSTATUS(status);
}

static int generation(int left)
{
    pthread_t threads[8];
    int fds[2];

    for (int i = 0; i < 5; i++) {
        start(waits, NULL);
    }
    SYS(pipe(fds));
    for (int i = 0; i < 8; i++) {
        threads[i] = start(passes, fds);
    }
    write_all(fds[1], "01234567", 8);
    int sum = 0;
    for (int i = 0; i < 8; i++) {
        sum += (int)(long)finish(threads[i]) - '0';
    }
    CHECK_EQ(sum, 28);
    if (left == 0) {
        return 1;
    }
    return 1 + (int)(long)finish(start(forks, (void *)(long)left));
}

int main(void)
{
    watchdog();
    CHECK_EQ(generation(GENERATIONS), GENERATIONS + 1);
    return 0;
}
