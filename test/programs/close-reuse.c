/*
 * A descriptor number that is closed and reused while a thread is receiving from it: the call
 * that has begun keeps the old connection, and bytes of the new one never reach it (close(2),
 * "multithreaded processes and close").
 *
 * How do we know that the receiver has begun? It asks for two bytes with MSG_WAITALL, we send
 * one, and the queue is empty again only when the call has taken it.
 */
#include "check.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { ROUNDS = 300 };

struct task {
    int fd;
};

static void *receives(void *argument)
{
    struct task *task = argument;
    char bytes[2] = { 0, 0 };

    CHECK_EQ(SYS(recv(task->fd, bytes, 2, MSG_WAITALL)), 2);
    CHECK_EQ(bytes[0], 'a');
    CHECK_EQ(bytes[1], 'b');
    return NULL;
}

static int queued(int fd)
{
    int n;

    SYS(ioctl(fd, FIONREAD, &n));
    return n;
}

int main(void)
{
    watchdog();
    for (int i = 0; i < ROUNDS; i++) {
        int old[2], new[2], number;
        char bytes[8];

        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, old));
        struct task task = { number = old[0] };
        pthread_t thread = start(receives, &task);
        write_all(old[1], "a", 1);
        while (queued(number) != 0) {
            sched_yield();
        }
        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, new));
        if (i % 2) {
            SYS(dup2(new[0], number));
        } else {
            SYS(close(number));
            CHECK_EQ(SYS(dup(new[0])), number);
        }
        write_all(new[1], "wrong", 5);
        if (i % 3 == 0) {
            nap(1);
        } else {
            sched_yield();
        }
        /* Had the receiver gone over to the new connection, a byte would be missing here. */
        CHECK_EQ(queued(number), 5);
        write_all(old[1], "b", 1);
        finish(thread);
        read_all(number, bytes, 5);
        CHECK_EQ(memcmp(bytes, "wrong", 5), 0);
        close(number);
        close(old[1]);
        close(new[0]);
        close(new[1]);
    }
    return 0;
}
