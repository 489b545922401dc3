/*
 * Named semaphores between threads and a forked child (POSIX sem_open, sem_unlink).
 */
#include "check.h"

#include <fcntl.h>
#include <semaphore.h>

static sem_t *ping, *pong;

static void *answers(void *argument)
{
    for (int i = 0; i < 50; i++) {
        SYS(sem_wait(ping));
        SYS(sem_post(pong));
    }
    return argument;
}

int main(void)
{
    char names[2][32];
    int value;

    watchdog();
    for (int i = 0; i < 2; i++) {
        snprintf(names[i], sizeof(names[i]), "/check-%d-%d", (int)getpid(), i);
    }
    ping = sem_open(names[0], O_CREAT | O_EXCL, 0600, 0);
    if (ping == SEM_FAILED) {
        SKIP("no named semaphores here");
    }
    pong = sem_open(names[1], O_CREAT | O_EXCL, 0600, 0);
    CHECK(pong != SEM_FAILED);
    CHECK(sem_open(names[0], O_CREAT | O_EXCL, 0600, 0) == SEM_FAILED);
    CHECK_EQ(errno, EEXIST);
    SYS(sem_unlink(names[0]));
    SYS(sem_unlink(names[1]));

    pid_t child = SYS(fork());
    if (child == 0) {
        watchdog();
        finish(start(answers, NULL));
        _exit(0);
    }
    pthread_t thread = start(answers, NULL);
    for (int i = 0; i < 100; i++) {
        SYS(sem_post(ping));
    }
    for (int i = 0; i < 100; i++) {
        SYS(sem_wait(pong));
    }
    finish(thread);
    CHECK_EQ(reap(child), 0);
    SYS(sem_getvalue(ping, &value));
    CHECK_EQ(value, 0);
    SYS(sem_close(ping));
    SYS(sem_close(pong));
    return 0;
}
