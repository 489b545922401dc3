/*
 * Threads that build pipelines of two children with fork, dup2 and exec, as a shell does: what goes in
 * comes out, and end of file arrives because nobody kept an end open.
 */
#include "check.h"

#include <fcntl.h>

#define N     8
#define BYTES 100000

static pid_t filter(const int in[2], const int out[2])
{
    pid_t child = SYS(fork());

    if (child == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execlp("cat", "cat", (char *)NULL);
        _exit(127);
    }
    return child;
}

struct feed {
    int fd;
    char byte;
};

static void *feeds(void *argument)
{
    struct feed *f = argument;
    char block[1000];

    memset(block, f->byte, sizeof(block));
    for (int i = 0; i < BYTES; i += (int)sizeof(block)) {
        write_all(f->fd, block, sizeof(block));
    }
    close(f->fd);
    return argument;
}

static void *pipeline(void *argument)
{
    int a[2], b[2], c[2];
    char block[4096];

    SYS(pipe2(a, O_CLOEXEC));
    SYS(pipe2(b, O_CLOEXEC));
    SYS(pipe2(c, O_CLOEXEC));
    pid_t first = filter(a, b), second = filter(b, c);
    close(a[0]);
    close(b[0]);
    close(b[1]);
    close(c[1]);
    struct feed f = { a[1], (char)('a' + (long)argument) };
    pthread_t feeder = start(feeds, &f);
    long total = 0;
    for (ssize_t n; (n = SYS(read(c[0], block, sizeof(block)))) > 0; total += n) {
        for (ssize_t i = 0; i < n; i++) {
            CHECK_EQ(block[i], f.byte);
        }
    }
    CHECK_EQ(total, BYTES);
    finish(feeder);
    close(c[0]);
    CHECK_EQ(reap(first), 0);
    CHECK_EQ(reap(second), 0);
    return argument;
}

int main(void)
{
    pthread_t threads[N];

    watchdog();
    for (int round = 0; round < 2; round++) {
        for (long i = 0; i < N; i++) {
            threads[i] = start(pipeline, (void *)i);
        }
        for (int i = 0; i < N; i++) {
            finish(threads[i]);
        }
    }
    return 0;
}
