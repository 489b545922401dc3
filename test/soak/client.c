/*
 * The client's side: a slot is a thread that makes one connection after the other. What a connection
 * that ends in order has sent and received must be what the server says in its receipt.
 */
#include "soak.h"
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static atomic_ulong next_number;

static bool may_break(const struct plan *p)
{
    return p->kind == RESET_BY_CLIENT || p->kind == RESET_BY_SERVER || p->kind == SERVER_CANCELLED;
}

static bool is_end(int error)
{
    return error == -ECONNRESET || error == -EPIPE;
}

/* Each slot has an address of its own: closed connections keep their ports for a minute. */
static int connected(int slot, bool local)
{
    struct sockaddr_in mine = { .sin_family = AF_INET,
                                .sin_addr = { htonl(0x7f010000 + (unsigned)slot) } };
    struct sockaddr_storage address;
    socklen_t length = (socklen_t)server_address(local, &address);
    int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM, 0), on = 1;

    if (fd < 0)
        fail("socket: %s", strerror(errno));
    if (!local && (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) ||
                   bind(fd, (struct sockaddr *)&mine, sizeof mine)))
        fail("bind: %s", strerror(errno));
    me->doing = "connect";
    while (connect(fd, (struct sockaddr *)&address, length) < 0) {
        int error = errno;
        socklen_t size = sizeof error;
        struct pollfd p = { fd, POLLOUT, 0 };

        if (error != EINTR)
            fail("connect: %s", strerror(error));
        if (me->restart_only)
            fail("connect ends with EINTR, but only signals with SA_RESTART were sent");
        interrupted++;
        if (local) /* nothing has begun */
            continue;
        while (poll(&p, 1, -1) < 0)
            if (errno != EINTR)
                fail("poll: %s", strerror(errno));
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) || error)
            fail("connect, later: %s", strerror(error));
        break;
    }
    me->doing = "";
    return fd;
}

/* One direction of a connection that two threads share. */
struct half {
    const struct plan *plan;
    struct stream stream;
    bool reading;
    atomic_bool *broken;
};

static void *pump(void *argument)
{
    struct half *h = argument;
    uint8_t buffer[PIECE];

    end_enter(h->reading ? "reader" : "writer", h->plan, h->plan->kind == CANCELLED);
    pthread_cleanup_push(end_leave, NULL);
    while (h->stream.offset < h->plan->up) {
        uint64_t left = h->plan->up - h->stream.offset;
        size_t most = left < PIECE ? left : PIECE;
        ssize_t n = h->reading ? stream_take(&h->stream, buffer, most)
                               : stream_give(&h->stream, dice() % most + 1);

        if (n > 0)
            continue;
        if (!*h->broken)
            fail("%s: %s", h->reading ? "reader" : "writer", n ? strerror((int)-n) : "early end");
        break;
    }
    pthread_cleanup_pop(1);
    return NULL;
}

/* Keeps a half going: another thread takes over from one that was cancelled. */
static void keep(struct half *h)
{
    for (;;) {
        void *value;
        pthread_t thread = thread_start(pump, h);

        me->doing = "pthread_join";
        MUST(pthread_join(thread, &value));
        me->doing = "";
        if (value != PTHREAD_CANCELED)
            return;
        totals.cancelled++;
        if (!settings.exact) {
            *h->broken = true;
            shutdown(h->stream.fd, SHUT_RDWR);
            return;
        }
    }
}

static void *keeper(void *half)
{
    struct half *h = half;

    end_enter("keeper", h->plan, false);
    keep(h);
    end_leave(NULL);
    return NULL;
}

/* Both directions at once. Answers 0, or -EPIPE if a cancelled thread has broken it. */
static int both_ways(struct stream *up, struct stream *back, const struct plan *p)
{
    atomic_bool broken = false;
    struct half out = { p, *up, false, &broken }, in = { p, *back, true, &broken };
    pthread_t thread = thread_start(keeper, &out);

    keep(&in);
    MUST(pthread_join(thread, NULL));
    *up = out.stream;
    *back = in.stream;
    return broken ? -EPIPE : 0;
}

/* A piece out and the same back. */
static int ping_pong(struct stream *up, struct stream *back, const struct plan *p, bool *reset)
{
    while (up->offset < p->up) {
        uint64_t until = up->offset + dice() % PIECE + 1;
        int error = stream_give_all(up, until < p->up ? until : p->up);

        if (p->kind == RESET_BY_CLIENT && up->offset >= p->breaks) {
            *reset = true;
            return error;
        }
        if (!error)
            error = stream_take_all(back, up->offset);
        if (error)
            return error;
        if (p->kind == IDLE && dice() % 2)
            pause_somehow(up->fd, p->pause_us);
    }
    return 0;
}

static int finish(int fd, struct stream *up, struct stream *down, const struct plan *p)
{
    struct receipt receipt;
    bool timeouts = p->kind == READ_TIMEOUT;
    char more;
    int error;

    if (shutdown(fd, SHUT_WR))
        return -errno;
    if ((error = raw_take(fd, &receipt, sizeof receipt, timeouts)) != 0)
        return error;
    if (receipt.bytes != up->offset || receipt.sum != up->sum)
        fail("%lu bytes were sent, %lu arrived; the sums are %lx, %lx", up->offset, receipt.bytes,
             up->sum, receipt.sum);
    if ((error = stream_take_all(down, p->down)) != 0)
        return error;
    error = raw_take(fd, &more, 1, timeouts);
    if (!error)
        fail("a byte too many");
    return error == -EPIPE ? 0 : error;
}

static void set_timeout(int fd, int option, struct stream *s, long us)
{
    struct timeval t = { us / 1000000, us % 1000000 };

    if (setsockopt(fd, SOL_SOCKET, option, &t, sizeof t))
        fail("setsockopt: %s", strerror(errno));
    s->timeouts = true;
    s->timeout_ns = (uint64_t)us * 1000;
}

/* Answers whether it ended in order. */
static bool converse(int fd, const struct plan *p)
{
    struct hello hello = { p->number, mixed(p->number ^ settings.seed) };
    struct stream up = { fd, p->up_key, 0, 0, false, 0 }, back = up,
                  down = { fd, p->down_key, 0, 0, false, 0 };
    bool reset = false;
    int error, small = 4096;

    if (p->kind == READ_TIMEOUT)
        set_timeout(fd, SO_RCVTIMEO, &back, p->pause_us / 2);
    error = raw_give(fd, &hello, sizeof hello);
    if (!error && p->kind == WRITE_TIMEOUT) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        set_timeout(fd, SO_SNDTIMEO, &up, p->pause_us / 2);
    }
    if (!error && (p->kind == HALF_CLOSE || p->kind == WRITE_TIMEOUT))
        error = stream_give_all(&up, p->up);
    else if (!error && (p->kind == DUPLEX || p->kind == CANCELLED))
        error = both_ways(&up, &back, p);
    else if (!error)
        error = ping_pong(&up, &back, p, &reset);
    if (!error && !reset)
        error = finish(fd, &up, &down, p);

    if (!error && !reset) {
        close(fd);
        if (counts(p)) {
            totals.sent += up.offset;
            totals.taken += back.offset + down.offset;
        }
        return true;
    }
    if (!reset && !may_break(p) && !(p->kind == CANCELLED && !settings.exact && is_end(error)))
        fail("the connection broke: %s", strerror(-error));
    if (error && !is_end(error))
        fail("an end that no reset makes: %s", strerror(-error));
    if (reset || p->kind == CANCELLED)
        close_with_reset(fd);
    else
        close(fd);
    totals.broken++;
    return false;
}

void *client_slot(void *slot)
{
    end_enter("client", NULL, false);
    while (!draining) {
        struct plan p = plan_of(next_number++);

        end_begin(&p);
        converse(connected((int)(intptr_t)slot, p.local), &p);
        totals.connections[p.kind]++;
    }
    end_leave(NULL);
    return NULL;
}
