/*
 * Built with -D_FORTIFY_SOURCE=2 and sizes the compiler cannot know, so that the calls go to
 * __read_chk, __recv_chk, __recvfrom_chk, __pread_chk, __poll_chk and __ppoll_chk: they block and
 * transfer like the plain ones, and still abort on an overflow (feature_test_macros(7)).
 */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

enum { THREADS = 10, ROUNDS = 20 };

static volatile size_t size = 32;
static volatile nfds_t one = 1;

static void *writer(void *argument)
{
    char buffer[32];

    for (int i = 0; i < ROUNDS * 5; i++) {
        memset(buffer, i, sizeof(buffer));
        if (i % 7 == 0) {
            usleep(200);
        }
        write_all(*(int *)argument, buffer, sizeof(buffer));
    }
    return NULL;
}

static void check_contents(const char *buffer, int number)
{
    for (int i = 0; i < 32; i++) {
        CHECK_EQ(buffer[i], number);
    }
}

static void *reader(void *argument)
{
    int fd = *(int *)argument, number = 0;
    char buffer[32];
    struct pollfd p[1];

    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(SYS(recv(fd, buffer, size, MSG_WAITALL)), 32);
        check_contents(buffer, number++);
        CHECK_EQ(SYS(recvfrom(fd, buffer, size, MSG_WAITALL, NULL, NULL)), 32);
        check_contents(buffer, number++);
        p[0] = (struct pollfd){ .fd = fd, .events = POLLIN };
        CHECK_EQ(SYS(poll(p, one, -1)), 1);
        /* A socketpair delivers each 32-byte write in one piece or not at all. */
        CHECK_EQ(SYS(read(fd, buffer, size)), 32);
        check_contents(buffer, number++);
        CHECK_EQ(SYS(ppoll(p, one, NULL, NULL)), 1);
        CHECK_EQ(SYS(read(fd, buffer, size)), 32);
        check_contents(buffer, number++);
        CHECK_EQ(SYS(read(fd, buffer, size)), 32);
        check_contents(buffer, number++);
    }
    int zero = SYS(open("/dev/zero", O_RDONLY));
    memset(buffer, 1, sizeof(buffer));
    CHECK_EQ(SYS(pread(zero, buffer, size, 0)), 32);
    check_contents(buffer, 0);
    SYS(close(zero));
    return NULL;
}

static void *overflows(void *argument)
{
    char buffer[16];

    (void)!read(*(int *)argument, buffer, size);
    return argument;
}

int main(void)
{
    pthread_t threads[2 * THREADS];
    int pairs[THREADS][2];

    watchdog();
    for (int i = 0; i < THREADS; i++) {
        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]));
        threads[2 * i] = start(reader, &pairs[i][0]);
        threads[2 * i + 1] = start(writer, &pairs[i][1]);
    }
    for (int i = 0; i < 2 * THREADS; i++) {
        finish(threads[i]);
    }
#ifndef __clang__
    /* clang 14 does not take glibc's checking inlines, so there is nothing to abort. */
    pid_t child = SYS(fork());
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);

        watchdog();
        no_core();
        dup2(null, 2);
        finish(start(overflows, &null));
        _exit(0);
    }
    int status = reap(child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
#else
    (void)overflows;
#endif
    return 0;
}
