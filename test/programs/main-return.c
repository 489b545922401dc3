/*
 * Returning from main ends the process with main's value, after the atexit functions, although
 * other threads are blocked, asleep or busy (C11 5.1.2.2.3, POSIX exit).
 */
#include "check.h"

#include <semaphore.h>

static sem_t never;
static sem_t running;
static volatile int busy = 1;

static void *blocked(void *argument)
{
    (void)argument;
    sem_post(&running);
    sem_wait(&never);
    dprintf(2, "a thread woke that nobody woke\n");
    _exit(1);
}

static void *asleep(void *argument)
{
    (void)argument;
    sem_post(&running);
    nap(100000);
    return NULL;
}

static void *spinning(void *argument)
{
    (void)argument;
    sem_post(&running);
    while (busy) {
    }
    return NULL;
}

static void say_goodbye(void)
{
    printf("goodbye\n");
}

int main(void)
{
    int out[2];
    char text[64];
    ssize_t n;

    watchdog();
    SYS(pipe(out));
    pid_t child = SYS(fork());
    if (child == 0) {
        watchdog();
        dup2(out[1], 1);
        close(out[0]);
        close(out[1]);
        CHECK_EQ(atexit(say_goodbye), 0);
        sem_init(&never, 0, 0);
        sem_init(&running, 0, 0);
        for (int i = 0; i < 10; i++) {
            OK(pthread_detach(start(blocked, NULL)));
            start(asleep, NULL);
        }
        OK(pthread_detach(start(spinning, NULL)));
        for (int i = 0; i < 21; i++) {
            sem_wait(&running);
        }
        printf("main returns\n");
        return 42;
    }
    close(out[1]);
    int status = reap(child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 42);
    n = SYS(read(out[0], text, sizeof(text) - 1));
    text[n] = 0;
    CHECK_EQ(strcmp(text, "main returns\ngoodbye\n"), 0);
    return 0;
}
