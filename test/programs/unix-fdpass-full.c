/* Passing descriptors to a process that has no room for them: what fits arrives, MSG_CTRUNC tells of the
 * rest, and the bytes are there; a file's position is shared with whoever it is passed to. */
#include "check.h"

#include <fcntl.h>
#include <sys/socket.h>

enum { PASSED = 3 };

static int s[2];
static _Atomic int closed;

static ssize_t transfer(int receive, int *fds, int n, int *flags)
{
    char byte = 'x';
    union {
        char room[CMSG_SPACE(PASSED * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = { &byte, 1 };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.room,
                          .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int)) };

    memset(&control, 0, sizeof control);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    if (!receive) {
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
        return SYS(sendmsg(s[1], &msg, 0));
    }
    CHECK_EQ(SYS(recvmsg(s[0], &msg, 0)), 1);
    *flags = msg.msg_flags;
    c = CMSG_FIRSTHDR(&msg);
    if (!c)
        return 0;
    n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(c), (size_t)n * sizeof(int));
    return n;
}

static void *receiver(void *unused)
{
    int fds[PASSED], flags;
    char data[4];

    CHECK_EQ(transfer(1, fds, PASSED, &flags), PASSED);
    CHECK(!(flags & MSG_CTRUNC));
    /* One description under two numbers. */
    CHECK_EQ(SYS(read(fds[0], data, 2)), 2);
    CHECK(memcmp(data, "cd", 2) == 0);
    for (int i = 0; i < PASSED; i++)
        SYS(close(fds[i]));
    closed = 1;
    CHECK_EQ(transfer(1, fds, PASSED, &flags), 1);
    CHECK(flags & MSG_CTRUNC);
    SYS(close(fds[0]));
    CHECK_EQ(transfer(1, fds, PASSED, &flags), 1);
    return unused;
}

int main(void)
{
    char path[] = "unix-fdpass-full-XXXXXX", data[4];
    struct rlimit limit;
    int file, fds[PASSED], last;
    pthread_t thread;

    watchdog();
    file = SYS(mkstemp(path));
    write_all(file, "abcdefgh", 8);
    SYS(close(file));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    thread = start(receiver, NULL);
    file = SYS(open(path, O_RDONLY));
    unlink(path);
    CHECK_EQ(SYS(read(file, data, 2)), 2);
    for (int i = 0; i < PASSED; i++)
        fds[i] = file;
    nap(10);
    transfer(0, fds, PASSED, NULL);
    while (!closed)
        nap(1);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 4);
    SYS(getrlimit(RLIMIT_NOFILE, &limit));
    last = SYS(dup(file)); /* the lowest free number: one more may follow */
    SYS(close(last));
    limit.rlim_cur = (rlim_t)last + 1;
    SYS(setrlimit(RLIMIT_NOFILE, &limit));
    transfer(0, fds, PASSED, NULL);
    transfer(0, fds, 1, NULL);
    finish(thread);
    return 0;
}
