/*
 * Descriptor numbers that change hands all the time: threads open connections, exchange bytes
 * marked with their own tag and close them, always on the lowest numbers; nobody ever sees
 * another connection's tag or a stale end of file (POSIX open: lowest available number).
 */
#include "check.h"

#include <poll.h>
#include <sys/socket.h>

enum { THREADS = 16, ROUNDS = 150 };

struct conversation {
    int fd;
    unsigned tag;
};

static void *answers(void *argument)
{
    struct conversation *c = argument;
    unsigned words[4];

    for (int i = 0; i < 3; i++) {
        read_all(c->fd, words, sizeof(words));
        for (int k = 0; k < 4; k++) {
            CHECK_EQ(words[k], c->tag + (unsigned)i);
        }
        write_all(c->fd, words, sizeof(words));
    }
    SYS(close(c->fd));
    return NULL;
}

static void *body(void *argument)
{
    unsigned me = *(unsigned *)argument;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct conversation c;
        unsigned words[4];
        int fds[2];

        c.tag = me << 20 | round << 4;
        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
        c.fd = fds[1];
        pthread_t other = start(answers, &c);
        for (unsigned i = 0; i < 3; i++) {
            for (int k = 0; k < 4; k++) {
                words[k] = c.tag + i;
            }
            write_all(fds[0], words, sizeof(words));
            if (round % 3 == 0) {
                struct pollfd p = { .fd = fds[0], .events = POLLIN };

                CHECK_EQ(poll(&p, 1, -1), 1);
                CHECK(p.revents & POLLIN);
            }
            memset(words, 0, sizeof(words));
            read_all(fds[0], words, sizeof(words));
            CHECK_EQ(words[3], c.tag + i);
        }
        /* The end of file that the other's close brings is this connection's own. */
        if (round % 2) {
            CHECK_EQ(SYS(read(fds[0], words, 1)), 0);
        }
        SYS(close(fds[0]));
        finish(other);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];

    watchdog();
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i + 1;
        threads[i] = start(body, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    return 0;
}
