/* Calls on bad descriptors, bad buffers, nothing and too much answer as the kernel says, and at once;
 * a bad address never ends the program. */
#include "check.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

static void *bad;

static void on_descriptor(int fd, int error)
{
    char c = 0;
    struct iovec iov = { &c, 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    FAILS(read(fd, &c, 1), EBADF);
    FAILS(readv(fd, &iov, 1), EBADF);
    FAILS(pread(fd, &c, 1, 0), EBADF);
    FAILS(preadv(fd, &iov, 1, 0), EBADF);
    FAILS(write(fd, &c, 1), EBADF);
    FAILS(writev(fd, &iov, 1), EBADF);
    FAILS(pwrite(fd, &c, 1, 0), EBADF);
    FAILS(pwritev(fd, &iov, 1, 0), EBADF);
    FAILS(recv(fd, &c, 1, 0), error);
    FAILS(recvfrom(fd, &c, 1, 0, NULL, NULL), error);
    FAILS(recvmsg(fd, &msg, 0), error);
    FAILS(send(fd, &c, 1, 0), error);
    FAILS(sendmsg(fd, &msg, 0), error);
    FAILS(accept(fd, NULL, NULL), error);
    FAILS(connect(fd, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET },
                  sizeof(struct sockaddr_in)),
          error);
}

static void bad_addresses(int readable, int writable, int stream)
{
    struct iovec iov = { bad, 100 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    FAILS(read(readable, bad, 100), EFAULT);
    FAILS(readv(readable, &iov, 1), EFAULT);
    FAILS(write(writable, bad, 100), EFAULT);
    FAILS(writev(writable, &iov, 1), EFAULT);
    if (stream) {
        FAILS(recv(readable, bad, 100, 0), EFAULT);
        FAILS(recvmsg(readable, &msg, 0), EFAULT);
        FAILS(send(writable, bad, 100, 0), EFAULT);
        FAILS(sendmsg(writable, &msg, 0), EFAULT);
        FAILS(sendmsg(writable, bad, 0), EFAULT);
        FAILS(recvmsg(readable, bad, 0), EFAULT);
    }
}

static void nothing(int readable, int writable)
{
    struct iovec none[2] = { { NULL, 0 }, { NULL, 0 } };

    CHECK_EQ(SYS(read(readable, NULL, 0)), 0);
    CHECK_EQ(SYS(readv(readable, none, 2)), 0);
    CHECK_EQ(SYS(readv(readable, NULL, 0)), 0);
    CHECK_EQ(SYS(write(writable, NULL, 0)), 0);
    CHECK_EQ(SYS(writev(writable, none, 2)), 0);
}

static volatile int negative = -1;

static void too_much(int readable, int writable)
{
    static struct iovec many[IOV_MAX + 1];

    FAILS(readv(readable, many, IOV_MAX + 1), EINVAL);
    FAILS(writev(writable, many, IOV_MAX + 1), EINVAL);
    FAILS(readv(readable, many, negative), EINVAL);
    FAILS(writev(writable, many, negative), EINVAL);
}

static void *body(void *unused)
{
    int p[2], s[2], file;
    char path[] = "io-errors-XXXXXX", c;
    struct pollfd polled;

    SYS(pipe(p));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    file = SYS(mkstemp(path));
    unlink(path);
    on_descriptor(-1, EBADF);
    on_descriptor(1 << 19, EBADF);
    SYS(write(p[1], "abc", 3));
    SYS(write(s[1], "abc", 3));
    SYS(write(file, "abc", 3));
    SYS(lseek(file, 0, SEEK_SET));
    bad_addresses(p[0], p[1], 0);
    bad_addresses(s[0], s[1], 1);
    bad_addresses(file, file, 0);
    FAILS(pread(file, bad, 100, 0), EFAULT);
    FAILS(pwrite(file, bad, 100, 0), EFAULT);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
    nothing(p[0], p[1]);
    nothing(file, file);
    too_much(p[0], p[1]);
    too_much(file, file);
    too_much(s[0], s[1]);
    /* The wrong end, the wrong kind. */
    FAILS(read(p[1], &c, 1), EBADF);
    FAILS(write(p[0], &c, 1), EBADF);
    FAILS(pread(p[0], &c, 1, 0), ESPIPE);
    FAILS(pwrite(s[0], &c, 1, 0), ESPIPE);
    FAILS(recv(p[0], &c, 1, 0), ENOTSOCK);
    FAILS(send(file, &c, 1, 0), ENOTSOCK);
    FAILS(accept(file, NULL, NULL), ENOTSOCK);
    FAILS(accept(s[0], NULL, NULL), EINVAL);
    FAILS(read(SYS(open(".", O_RDONLY | O_DIRECTORY)), &c, 1), EISDIR);
    FAILS(poll(bad, 1, 0), EFAULT);
    FAILS(poll(bad, 3, 100), EFAULT);
    polled = (struct pollfd){ 1 << 19, POLLIN, 0 };
    CHECK_EQ(SYS(poll(&polled, 1, -1)), 1);
    CHECK_EQ(polled.revents, POLLNVAL);
    /* Everything that was there still is. */
    CHECK_EQ(SYS(read(p[0], &c, 1)), 1);
    CHECK_EQ(c, 'a');
    CHECK_EQ(SYS(recv(s[0], &c, 1, 0)), 1);
    CHECK_EQ(c, 'a');
    return unused;
}

int main(void)
{
    watchdog();
    bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(bad != MAP_FAILED);
    finish(start(body, NULL));
    return 0;
}
