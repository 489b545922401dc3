/*
 * pthread_cancel of threads in fgets, getline and fflush: the cleanup handlers run, stdio gives its
 * lock back while it unwinds, and a thread that waits for that lock goes on (pthreads(7)).
 */
#include "check.h"

#include <signal.h>
#include <stdatomic.h>

#define ROUNDS 40

static atomic_int cleaned;

static void clean(void *argument)
{
    (void)argument;
    cleaned++;
}

static void *gets_line(void *argument)
{
    char line[100];

    pthread_cleanup_push(clean, NULL);
    CHECK(fgets(line, sizeof(line), argument) == NULL);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *get_line(void *argument)
{
    char *line = NULL;
    size_t size = 0;

    pthread_cleanup_push(clean, NULL);
    CHECK(getline(&line, &size, argument) < 0);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *flush(void *argument)
{
    pthread_cleanup_push(clean, NULL);
    CHECK_EQ(fflush(argument), 0);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *wait_for_lock(void *argument)
{
    flockfile(argument);
    funlockfile(argument);
    return argument;
}

static void cancelled(pthread_t thread)
{
    void *value;

    OK(pthread_join(thread, &value));
    CHECK(value == PTHREAD_CANCELED);
}

int main(void)
{
    static char much[65536], big[65536];
    int ends[2];

    watchdog();
    for (int i = 0; i < ROUNDS; i++) {
        SYS(pipe(ends));
        FILE *in = fdopen(ends[0], "r"), *out = fdopen(ends[1], "w");
        CHECK(in && out);
        cleaned = 0;
        pthread_t reader = start(i % 2 ? gets_line : get_line, in);
        if (i % 3) {
            usleep(500);
        }
        pthread_t waiter = start(wait_for_lock, in);
        usleep(200);
        OK(pthread_cancel(reader));
        cancelled(reader);
        CHECK_EQ(cleaned, 1);
        CHECK(finish(waiter) == in);
        CHECK_EQ(ftrylockfile(in), 0);
        funlockfile(in);

        /* A full pipe. */
        write_all(ends[1], much, sizeof(much));
        CHECK_EQ(setvbuf(out, big, _IOFBF, sizeof(big)), 0);
        CHECK(fputs("more", out) >= 0);
        pthread_t writer = start(flush, out);
        if (i % 3) {
            usleep(500);
        }
        OK(pthread_cancel(writer));
        cancelled(writer);
        CHECK_EQ(cleaned, 2);
        CHECK_EQ(ftrylockfile(out), 0);
        funlockfile(out);
        close(ends[0]);
        signal(SIGPIPE, SIG_IGN);
        fclose(out);
        fclose(in);
    }
    return 0;
}
