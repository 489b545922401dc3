/*
 * A server that forks its workers, some before and some after the master has threads; each worker
 * serves the shared listener with threads of its own (accept by several processes).
 */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#define WORKERS 4
#define THREADS 5
#define CLIENTS 120

static int listener;
static struct sockaddr_in address;

static void *serves(void *argument)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char line[8];

        if (fd < 0) {
            CHECK_EQ(errno, EINTR);
            continue;
        }
        read_all(fd, line, sizeof(line));
        write_all(fd, line, sizeof(line));
        close(fd);
    }
    return argument;
}

static pid_t worker(void)
{
    pid_t child = SYS(fork());

    if (child == 0) {
        watchdog();
        for (int i = 1; i < THREADS; i++) {
            start(serves, NULL);
        }
        serves(NULL);
    }
    return child;
}

static void *client(void *argument)
{
    char line[32], back[8];

    for (int i = 0; i < 3; i++) {
        int fd = SYS(socket(AF_INET, SOCK_STREAM, 0));

        SYS(connect(fd, (struct sockaddr *)&address, sizeof(address)));
        snprintf(line, sizeof(line), "%03ld %03d ", (long)argument % 1000, i);
        write_all(fd, line, 8);
        read_all(fd, back, 8);
        CHECK_EQ(memcmp(line, back, 8), 0);
        close(fd);
    }
    return argument;
}

int main(void)
{
    pid_t workers[WORKERS];
    pthread_t clients[CLIENTS];
    socklen_t len = sizeof(address);

    watchdog();
    listener = SYS(socket(AF_INET, SOCK_STREAM, 0));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SYS(bind(listener, (struct sockaddr *)&address, sizeof(address)));
    SYS(getsockname(listener, (struct sockaddr *)&address, &len));
    SYS(listen(listener, 128));
    for (int i = 0; i < WORKERS / 2; i++) {
        workers[i] = worker();
    }
    for (long i = 0; i < CLIENTS; i++) {
        clients[i] = start(client, (void *)i);
        if (i == CLIENTS / 2) { /* in the middle of all that */
            for (int k = WORKERS / 2; k < WORKERS; k++) {
                workers[k] = worker();
            }
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        finish(clients[i]);
    }
    for (int i = 0; i < WORKERS; i++) {
        SYS(kill(workers[i], SIGTERM));
        int status = reap(workers[i]);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), SIGTERM);
    }
    return 0;
}
