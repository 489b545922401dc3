/*
 * exit() called by a thread that is not main ends the process: atexit functions run once, in that
 * thread, in reverse order, and stdio is flushed (POSIX exit, atexit).
 */
#include "check.h"

#include <semaphore.h>

static sem_t never;
static pthread_t caller;

static void first(void)
{
    CHECK(pthread_equal(caller, pthread_self()));
    printf("first ");
}

static void second(void)
{
    CHECK(pthread_equal(caller, pthread_self()));
    /* An exit function may block: the other threads are still there. */
    nap(10);
    printf("second ");
}

static void *blocked(void *argument)
{
    (void)argument;
    sem_wait(&never);
    return NULL;
}

static void *leaves(void *argument)
{
    (void)argument;
    caller = pthread_self();
    printf("body ");
    exit(7);
}

int main(void)
{
    char text[64];
    int out[2];

    watchdog();
    SYS(pipe(out));
    pid_t child = SYS(fork());
    if (child == 0) {
        watchdog();
        dup2(out[1], 1);
        sem_init(&never, 0, 0);
        atexit(first);
        atexit(second);
        for (int i = 0; i < 20; i++) {
            start(blocked, NULL);
        }
        finish(start(leaves, NULL));
        return 1;
    }
    close(out[1]);
    int status = reap(child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 7);
    ssize_t n = SYS(read(out[0], text, sizeof(text) - 1));
    text[n] = 0;
    CHECK_EQ(strcmp(text, "body second first "), 0);
    return 0;
}
