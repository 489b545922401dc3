/*
 * Signals for threads that wait in fgets: without SA_RESTART it fails with EINTR, with it it goes on,
 * and a handler may leave it by siglongjmp. errno of others is left alone (signal(7)).
 */
#include "check.h"

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>

static atomic_int handled;
static __thread sigjmp_buf away;
static int ends[2];
static FILE *in;
static atomic_int ready;

static void count(int sig)
{
    (void)sig;
    handled++;
}

static void leave(int sig)
{
    (void)sig;
    handled++;
    siglongjmp(away, 1);
}

static void *interrupted(void *argument)
{
    char line[50];

    ready = 1;
    errno = 0;
    CHECK(fgets(line, sizeof(line), in) == NULL);
    CHECK_EQ(errno, EINTR);
    clearerr(in);
    return argument;
}

static void *restarted(void *argument)
{
    char line[50];

    ready = 1;
    CHECK(fgets(line, sizeof(line), in) == line);
    CHECK_EQ(strcmp(line, "done\n"), 0);
    return argument;
}

static void *jumps(void *argument)
{
    char byte;

    if (!sigsetjmp(away, 1)) {
        ready = 1;
        (void)!read(fileno(in), &byte, 1);
        CHECK(!"reached");
    }
    /* Calls wait as before, and cancellation works. */
    read_all(fileno(in), &byte, 1);
    CHECK_EQ(byte, 'x');
    ready = 2;
    for (;;) {
        (void)!read(fileno(in), &byte, 1);
    }
    return argument;
}

static void handle(void (*handler)(int), int flags)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

    SYS(sigaction(SIGUSR1, &action, NULL));
    handled = ready = 0;
}

static pthread_t poke(void *(*body)(void *))
{
    pthread_t thread = start(body, NULL);

    while (!ready) {
        usleep(100);
    }
    usleep(3000);
    OK(pthread_kill(thread, SIGUSR1));
    while (!handled) {
        usleep(100);
    }
    return thread;
}

int main(void)
{
    void *value;

    watchdog();
    SYS(pipe(ends));
    in = fdopen(ends[0], "r");
    for (int i = 0; i < 10; i++) {
        handle(count, 0);
        finish(poke(interrupted));
        CHECK_EQ(handled, 1);

        handle(count, SA_RESTART);
        pthread_t thread = poke(restarted);
        usleep(1000);
        write_all(ends[1], "done\n", 5);
        finish(thread);
        CHECK_EQ(handled, 1);

        handle(leave, 0);
        thread = poke(jumps);
        write_all(ends[1], "x", 1);
        while (ready != 2) {
            usleep(100);
        }
        OK(pthread_cancel(thread));
        OK(pthread_join(thread, &value));
        CHECK(value == PTHREAD_CANCELED);
    }
    return 0;
}
