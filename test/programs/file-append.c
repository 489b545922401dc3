/* Threads and a child process append records to one file, by one description and by one each, with and
 * without O_DSYNC: each record stands in the file once, whole. */
#include "check.h"

#include <fcntl.h>

enum { THREADS = 6, RECORDS = 40, RECORD = 701 };

static char path[] = "file-append-XXXXXX";
static int shared, flags;

struct record {
    int writer, number;
    char text[RECORD - 2 * sizeof(int)];
};

static void *writer(void *argument)
{
    struct record r = { .writer = (int)(long)argument };
    int fd = r.writer % 2 || r.writer == THREADS ? shared
                                                 : SYS(open(path, O_WRONLY | O_APPEND | flags));

    for (r.number = 0; r.number < RECORDS; r.number++) {
        memset(r.text, 'a' + r.writer, sizeof r.text);
        CHECK_EQ(SYS(write(fd, &r, sizeof r)), sizeof r);
    }
    if (fd != shared)
        SYS(close(fd));
    return NULL;
}

int main(void)
{
    watchdog();
    SYS(close(SYS(mkstemp(path))));
    finish(start(writer, (shared = SYS(open(path, O_WRONLY | O_APPEND)), (void *)1L)));
    SYS(close(shared));
    for (int sync = 0; sync < 2; sync++) {
        pthread_t threads[THREADS];
        int seen[THREADS + 1][RECORDS] = { 0 };
        struct record r;
        pid_t child;

        flags = sync ? O_DSYNC : 0;
        SYS(truncate(path, 0));
        shared = SYS(open(path, O_WRONLY | O_APPEND | flags));
        for (int i = 0; i < THREADS / 2; i++)
            threads[i] = start(writer, (void *)(long)i);
        child = SYS(fork());
        if (!child) {
            alarm(60);
            writer((void *)(long)THREADS);
            _exit(0);
        }
        for (int i = THREADS / 2; i < THREADS; i++)
            threads[i] = start(writer, (void *)(long)i);
        for (int i = 0; i < THREADS; i++)
            finish(threads[i]);
        CHECK_EQ(reap(child), 0);
        SYS(close(shared));
        int in = SYS(open(path, O_RDONLY));
        for (int i = 0; i < (THREADS + 1) * RECORDS; i++) {
            CHECK_EQ(SYS(read(in, &r, sizeof r)), sizeof r);
            CHECK(r.writer >= 0 && r.writer <= THREADS && r.number >= 0 && r.number < RECORDS);
            for (size_t k = 0; k < sizeof r.text; k++)
                CHECK_EQ(r.text[k], 'a' + r.writer);
            CHECK_EQ(seen[r.writer][r.number]++, 0);
        }
        CHECK_EQ(SYS(read(in, &r, 1)), 0);
        SYS(close(in));
    }
    unlink(path);
    return 0;
}
