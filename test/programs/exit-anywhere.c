/*
 * exit, quick_exit, _exit and abort from a thread while others use locks and wait: handlers run once
 * in their order and may take locks that others use, and the status is the caller's.
 */
#include "check.h"

#include <semaphore.h>
#include <signal.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sem_t never;
static int out;
static long shared;

static void say(const char *text)
{
    pthread_mutex_lock(&mutex);
    (void)!write(out, text, 1);
    shared++;
    pthread_mutex_unlock(&mutex);
}

static void first(void)
{
    say("1");
}

static void second(void)
{
    usleep(1000); /* others run on */
    say("2");
}

static void quick(void)
{
    say("q");
}

static void *locks(void *argument)
{
    for (;;) {
        pthread_mutex_lock(&mutex);
        shared++;
        pthread_mutex_unlock(&mutex);
        if (shared % 64 == 0) {
            usleep(50);
        }
    }
    return argument;
}

static void *waits(void *argument)
{
    sem_wait(&never);
    return argument;
}

static void *leaves(void *argument)
{
    usleep(2000);
    switch ((long)argument) {
    case 0:
        exit(21);
    case 1:
        quick_exit(22);
    case 2:
        _exit(23);
    default:
        abort();
    }
}

static void child(long how, int from_main)
{
    watchdog();
    no_core();
    atexit(first);
    atexit(second);
    at_quick_exit(quick);
    printf("text");
    for (int i = 0; i < 3; i++) {
        start(locks, NULL);
        start(waits, NULL);
    }
    if (from_main) {
        leaves((void *)how);
    }
    start(leaves, (void *)how);
    waits(NULL);
}

int main(void)
{
    static const char *const said[] = { "21text", "q", "", "" };
    char text[16];
    int ends[2];

    watchdog();
    for (long i = 0; i < 16; i++) {
        SYS(pipe(ends));
        pid_t pid = SYS(fork());
        if (pid == 0) {
            out = ends[1];
            SYS(dup2(ends[1], 1));
            child(i % 4, i / 4 % 2);
        }
        close(ends[1]);
        size_t n = 0;
        for (ssize_t r; (r = SYS(read(ends[0], text + n, sizeof(text) - n))) > 0;) {
            n += (size_t)r;
        }
        close(ends[0]);
        int status = reap(pid);
        CHECK_EQ(n, strlen(said[i % 4]));
        CHECK_EQ(memcmp(text, said[i % 4], n), 0);
        if (i % 4 == 3) {
            CHECK(WIFSIGNALED(status));
            CHECK_EQ(WTERMSIG(status), SIGABRT);
        } else {
            CHECK(WIFEXITED(status));
            CHECK_EQ(WEXITSTATUS(status), 21 + i % 4);
        }
    }
    return 0;
}
