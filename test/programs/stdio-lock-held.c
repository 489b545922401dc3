/*
 * Locks inside libc that are held while a thread waits: a stream in a callback that reads a pipe
 * (fopencookie), flockfile over a read, and dl_iterate_phdr with a callback that waits. Others queue
 * up behind them and everybody gets through.
 */
#include "check.h"

#include <link.h>
#include <semaphore.h>
#include <stdatomic.h>

#define N     40
#define LINES 5

static FILE *stream;
static int slow[2], gate[2];
static atomic_int entered, callbacks;
static long bytes;

/* Runs with the stream's lock held. */
static ssize_t write_slowly(void *cookie, const char *data, size_t size)
{
    char c;

    (void)cookie;
    (void)data;
    CHECK_EQ(++entered, 1); /* the lock excludes others */
    read_all(slow[0], &c, 1);
    entered--;
    bytes += (long)size;
    return (ssize_t)size;
}

static void *writer(void *argument)
{
    for (int i = 0; i < LINES; i++) {
        CHECK(fprintf(stream, "%ld\n", (long)argument) > 0);
        CHECK_EQ(fflush(stream), 0);
    }
    return argument;
}

static void *feeder(void *argument)
{
    for (int i = 0; i < N * LINES; i++) {
        write_all(slow[1], "x", 1);
        if (i % 16 == 0) {
            usleep(300);
        }
    }
    return argument;
}

static void *locker(void *argument)
{
    char c;

    flockfile(stream);
    CHECK_EQ(++entered, 1);
    read_all(gate[0], &c, 1);
    entered--;
    funlockfile(stream);
    return argument;
}

static int visit(struct dl_phdr_info *info, size_t size, void *argument)
{
    char c;

    (void)info;
    (void)size;
    (void)argument;
    CHECK_EQ(++callbacks, 1);
    read_all(gate[0], &c, 1);
    callbacks--;
    return 1;
}

static void *iterator(void *argument)
{
    CHECK_EQ(dl_iterate_phdr(visit, NULL), 1);
    return argument;
}

static void let_through(void *(*body)(void *), int n)
{
    pthread_t threads[N];

    for (int i = 0; i < n; i++) {
        threads[i] = start(body, NULL);
    }
    for (int i = 0; i < n; i++) {
        usleep(500);
        write_all(gate[1], "x", 1);
    }
    for (int i = 0; i < n; i++) {
        finish(threads[i]);
    }
}

int main(void)
{
    cookie_io_functions_t functions = { .write = write_slowly };
    pthread_t threads[N + 1];

    watchdog();
    SYS(pipe(slow));
    SYS(pipe(gate));
    stream = fopencookie(NULL, "w", functions);
    CHECK(stream != NULL);
    for (long i = 0; i < N; i++) {
        threads[i] = start(writer, (void *)(1000 + i));
    }
    threads[N] = start(feeder, NULL);
    for (int i = 0; i <= N; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(bytes, N * LINES * 5);
    let_through(locker, N);
    let_through(iterator, 10);
    CHECK_EQ(entered, 0);
    return 0;
}
