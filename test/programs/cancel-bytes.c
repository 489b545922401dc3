/*
 * Bytes that a cancelled read took are never lost, nor are those that a cancelled write gave: over
 * thousands of cancellations what went in comes out, counted by what the calls returned. (Natively
 * glibc before 2.41 loses some: this program is only run under the library.)
 */
#include "check.h"

#include <stdatomic.h>
#include <sys/socket.h>

static int fds[2];
static atomic_long got, given;
static atomic_int stop;

static void *reads(void *argument)
{
    char buffer[100];

    for (;;) {
        ssize_t n = read(fds[0], buffer, sizeof buffer);

        CHECK(n > 0);
        got += n;
    }
    return argument;
}

static void *writes(void *argument)
{
    static char buffer[300000];

    for (;;) {
        ssize_t n = write(fds[1], buffer, sizeof buffer);

        CHECK(n > 0);
        given += n;
    }
    return argument;
}

static void *feeds(void *argument)
{
    char buffer[7] = "";

    while (!stop) {
        ssize_t n = write(fds[1], buffer, sizeof buffer);

        CHECK(n > 0);
        given += n;
        sched_yield();
    }
    return argument;
}

static void *drains(void *argument)
{
    char buffer[5000];

    ssize_t n;

    while ((n = read(fds[0], buffer, sizeof buffer)) > 0) {
        got += n;
    }
    CHECK_EQ(n, 0);
    return argument;
}

int main(void)
{
    watchdog();
    for (int socket = 0; socket < 2; socket++) {
        for (int writing = 0; writing < 2; writing++) {
            SYS(socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, fds) : pipe(fds));
            got = given = 0;
            stop = 0;
            pthread_t partner = start(writing ? drains : feeds, NULL);
            for (int i = 0; i < 1500; i++) {
                pthread_t thread = start(writing ? writes : reads, NULL);

                if (i % 3 == 0) {
                    sched_yield();
                } else if (i % 3 == 1) {
                    usleep(50);
                }
                OK(pthread_cancel(thread));
                CHECK(finish(thread) == PTHREAD_CANCELED);
            }
            stop = 1;
            if (!writing) {
                pthread_t feeder = partner;

                partner = start(drains, NULL);
                finish(feeder);
            }
            close(fds[1]);
            finish(partner);
            close(fds[0]);
            CHECK_EQ(got, given);
        }
    }
    return 0;
}
