/*
 * With the arguments "count N" they are N, and it says how many kernel threads wait for the answers
 * (test/deep.py).
 *
 * 50 threads resolve names through a DNS server of our own that answers late and out of order;
 * each gets the address of its own name (res_nquery, which getaddrinfo uses).
 */
#include "check.h"
#include "kernel-threads.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <sys/socket.h>

#define MOST 500

static struct sockaddr_in server;
static int sock;
static int count, all = 50;

struct question {
    unsigned char text[512];
    ssize_t size;
    struct sockaddr_in from;
    socklen_t len;
};

/* Collects all questions, then answers, the last one first. */
static void *serve(void *argument)
{
    static struct question q[MOST];
    int n = 0;

    while (n < all) {
        struct question *x = &q[n];
        int known = 0;

        x->len = sizeof(x->from);
        x->size = SYS(
            recvfrom(sock, x->text, sizeof(x->text), 0, (struct sockaddr *)&x->from, &x->len));
        for (int i = 0; i < n; i++) { /* asked again */
            known |= q[i].from.sin_port == x->from.sin_port;
        }
        n += !known;
    }
    if (count) {
        nap(20);
        printf("%d\n", kernel_threads());
    }
    for (int i = all - 1; i >= 0; i--) {
        unsigned char *t = q[i].text;
        size_t size = 12;
        int host = atoi((char *)t + 14); /* a label hNN */

        while (t[size]) {
            size += t[size] + 1u;
        }
        size += 5;
        static const unsigned char answer[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0 };
        memcpy(t + size, answer, sizeof(answer));
        size += sizeof(answer);
        t[size++] = (unsigned char)(host >> 8);
        t[size++] = (unsigned char)host;
        t[2] = 0x81;
        t[3] = 0x80;
        t[7] = 1;          /* one answer */
        t[8] = t[9] = 0;   /* no authority */
        t[10] = t[11] = 0; /* no additional records */
        SYS(sendto(sock, t, size, 0, (struct sockaddr *)&q[i].from, q[i].len));
    }
    return argument;
}

static void *resolve(void *argument)
{
    struct __res_state state;
    unsigned char reply[512];
    char name[32];

    memset(&state, 0, sizeof(state));
    CHECK_EQ(res_ninit(&state), 0);
    state.nscount = 1;
    state.nsaddr_list[0] = server;
    state.retrans = 10;
    state.retry = 3; /* hundreds of questions at once may be more than the socket takes */
    state.options &= ~(unsigned long)(RES_USE_EDNS0 | RES_SNGLKUP);
    snprintf(name, sizeof(name), "h%ld.example", (long)argument);
    int size = res_nquery(&state, name, ns_c_in, ns_t_a, reply, sizeof(reply));
    CHECK(size > 0);
    CHECK_EQ(reply[7], 1);
    CHECK_EQ(reply[size - 2] << 8 | reply[size - 1], (long)argument);
    res_nclose(&state);
    return argument;
}

int main(int argc, char **argv)
{
    pthread_t server_thread;
    socklen_t len = sizeof(server);

    watchdog();
    count = argc > 1 && strcmp(argv[1], "count") == 0;
    if (argc > 2) {
        all = atoi(argv[2]);
        CHECK(all > 0 && all <= MOST);
    }
    sock = SYS(socket(AF_INET, SOCK_DGRAM, 0));
    server.sin_family = AF_INET;
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SYS(bind(sock, (struct sockaddr *)&server, sizeof(server)));
    SYS(getsockname(sock, (struct sockaddr *)&server, &len));
    server_thread = start(serve, NULL);
    run_threads(all, resolve);
    finish(server_thread);
    return 0;
}
