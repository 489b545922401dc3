/*
 * echo_server: the textbook server. One thread with the default stack for each TCP connection,
 * blocking read and write, everything that comes in goes back out. Listens on 127.0.0.1 on a port
 * of the kernel's choice and prints "port N".
 */
#include "bench.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buffer[4096];
    ssize_t got;

    while ((got = read(fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t done = 0, n; done < got; done += n) {
            n = write(fd, buffer + done, (size_t)(got - done));
            if (n < 0)
                goto out;
        }
    }
out:
    close(fd);
    return NULL;
}

int main(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd, one = 1, error;
    pthread_t t;

    bench_raise_nofile();
    if (listener < 0 || bind(listener, (struct sockaddr *)&addr, len) ||
        listen(listener, SOMAXCONN) || getsockname(listener, (struct sockaddr *)&addr, &len))
        bench_die("cannot listen: %s", strerror(errno));
    printf("port %d\n", ntohs(addr.sin_port));
    fflush(stdout);

    for (;;) {
        fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            bench_die("accept: %s", strerror(errno));
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        error = pthread_create(&t, NULL, serve, (void *)(intptr_t)fd);
        if (error) {
            fprintf(stderr, "pthread_create: %s\n", strerror(error));
            close(fd);
            continue;
        }
        pthread_detach(t);
    }
}
