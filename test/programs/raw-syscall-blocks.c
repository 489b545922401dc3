/*
 * Threads that block in system calls made by syscall(2), and by the instruction itself, more of
 * them than CPUs, while over a hundred other threads make progress and finally release them.
 */
#include "check.h"

#include <stdatomic.h>
#include <sys/syscall.h>

enum { BLOCKED = 8, OTHERS = 120, LAPS = 30 };

static int pipes[BLOCKED][2];
static atomic_int laps;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static long raw_read(int fd, void *data, size_t size)
{
#ifdef __x86_64__
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_read), "D"(fd), "S"(data), "d"(size)
                     : "rcx", "r11", "memory");
    return result;
#else
    return syscall(SYS_read, fd, data, size);
#endif
}

static void *blocks(void *argument)
{
    int me = *(int *)argument;
    char byte = 0;

    CHECK_EQ(me % 2 ? syscall(SYS_read, pipes[me][0], &byte, 1) : raw_read(pipes[me][0], &byte, 1),
             1);
    CHECK_EQ(byte, 'x');
    CHECK_EQ(laps, OTHERS * LAPS);
    return NULL;
}

static void *runs(void *argument)
{
    int me = *(int *)argument;

    for (int i = 0; i < LAPS; i++) {
        /* In rounds, so that all have to be able to run. */
        pthread_mutex_lock(&mutex);
        while (turn / OTHERS < i) {
            pthread_cond_wait(&cond, &mutex);
        }
        turn++;
        laps++;
        if (turn % OTHERS == 0) {
            pthread_cond_broadcast(&cond);
        }
        pthread_mutex_unlock(&mutex);
        if (me % 10 == 0) {
            usleep(10);
        }
    }
    return NULL;
}

int main(void)
{
    pthread_t blocked[BLOCKED], others[OTHERS];
    int numbers[OTHERS];

    watchdog();
    for (int i = 0; i < OTHERS; i++) {
        numbers[i] = i;
    }
    for (int i = 0; i < BLOCKED; i++) {
        SYS(pipe(pipes[i]));
        blocked[i] = start(blocks, &numbers[i]);
    }
    for (int i = 0; i < OTHERS; i++) {
        others[i] = start(runs, &numbers[i]);
    }
    for (int i = 0; i < OTHERS; i++) {
        finish(others[i]);
    }
    for (int i = 0; i < BLOCKED; i++) {
        CHECK_EQ(syscall(SYS_write, pipes[i][1], "x", 1), 1);
    }
    for (int i = 0; i < BLOCKED; i++) {
        finish(blocked[i]);
    }
    FAILS(syscall(SYS_read, -1, numbers, 1), EBADF);
    return 0;
}
