/* A transfer that a handler interrupts after its first byte tells how many bytes went, whatever
 * SA_RESTART says; one that has moved nothing is restarted or answers EINTR. The bytes agree. */
#include "check.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { BIG = 3000000 };

static char *data;
static volatile sig_atomic_t handled;
static _Atomic long result;

static void on_signal(int sig)
{
    (void)sig;
    handled++;
}

struct job {
    int fd, how;
};

static void *writer(void *argument)
{
    struct job *j = argument;
    struct iovec iov[2] = { { data, 1000 }, { data + 1000, BIG - 1000 } };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
    ssize_t n = j->how == 0   ? write(j->fd, data, BIG)
                : j->how == 1 ? writev(j->fd, iov, 2)
                : j->how == 2 ? send(j->fd, data, BIG, 0)
                              : sendmsg(j->fd, &msg, 0);

    CHECK(n > 0 && n < BIG);
    result = n;
    return NULL;
}

static void *reader(void *argument)
{
    struct job *j = argument;
    char *room = malloc(1000);
    ssize_t n = recv(j->fd, room, 1000, MSG_WAITALL);

    CHECK_EQ(n, 10);
    result = n;
    free(room);
    return NULL;
}

static void run(void *(*body)(void *), struct job *j, int other)
{
    pthread_t thread;

    result = 0;
    thread = start(body, j);
    nap(20);
    if (body == reader) {
        int left = 1;

        write_all(other, "0123456789", 10);
        while (left) { /* until it has them */
            nap(2);
            SYS(ioctl(j->fd, FIONREAD, &left));
        }
    }
    nap(10);
    while (!result) {
        pthread_kill(thread, SIGUSR1);
        nap(2);
    }
    finish(thread);
}

int main(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    watchdog();
    data = malloc(BIG);
    for (int i = 0; i < BIG; i++)
        data[i] = (char)(i * 7 + i / 999);
    for (int restart = 0; restart < 2; restart++) {
        action.sa_flags = restart ? SA_RESTART : 0;
        sigaction(SIGUSR1, &action, NULL);
        for (int how = 0; how < 6; how++) {
            int fds[2], socket = how != 4 && how != 5;
            struct job j = { .how = how % 4 };
            char *got = malloc(BIG);
            long n = 0, m;

            if (socket)
                SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
            else
                SYS(pipe(fds));
            j.fd = fds[1];
            run(writer, &j, fds[0]);
            SYS(close(fds[1]));
            while ((m = SYS(read(fds[0], got + n, (size_t)(BIG - n)))) > 0)
                n += m;
            CHECK_EQ(n, result);
            CHECK(memcmp(got, data, (size_t)n) == 0);
            SYS(close(fds[0]));
            free(got);
        }
        int s[2];

        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
        run(reader, &(struct job){ .fd = s[0] }, s[1]);
        SYS(close(s[0]));
        SYS(close(s[1]));
    }
    CHECK(handled > 0);
    return 0;
}
