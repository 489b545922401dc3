/*
 * The server's side: some threads accept on a listener each, two for each kind of socket, and make a
 * detached thread for each connection. It sends back what it gets, or waits for the end and sends what
 * the plan says.
 */
#include "soak.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ACCEPTORS = 4 };

struct totals totals;
static int listeners[2]; /* TCP, local */
static struct sockaddr_storage addresses[2];
static socklen_t lengths[2];
static pthread_t acceptors[ACCEPTORS];

int server_address(bool local, void *address)
{
    memcpy(address, &addresses[local], lengths[local]);
    return (int)lengths[local];
}

static void serve_end(void *argument)
{
    end_leave(NULL);
    close((int)(intptr_t)argument);
    totals.servers--;
}

static bool echoes(enum kind kind)
{
    return kind != HALF_CLOSE && kind != WRITE_TIMEOUT;
}

static bool may_break(const struct plan *p)
{
    return p->kind == RESET_BY_CLIENT || p->kind == RESET_BY_SERVER ||
           p->kind == SERVER_CANCELLED || (p->kind == CANCELLED && !settings.exact);
}

/* Answers 0 when the client has ended its side, and what it sent is complete. */
static int converse(int fd, const struct plan *p)
{
    struct stream in = { fd, p->up_key, 0, 0, false, 0 }, out = in,
                  down = { fd, p->down_key, 0, 0, false, 0 };
    uint8_t buffer[PIECE];
    struct linger now = { 1, 0 };
    ssize_t n;
    int error;

    while ((n = stream_take(&in, buffer, sizeof buffer)) > 0) {
        if (p->kind == RESET_BY_SERVER && in.offset >= p->breaks) {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
            return -ECONNRESET;
        }
        if ((p->kind == READ_TIMEOUT || p->kind == WRITE_TIMEOUT) && dice() % 4 == 0)
            pause_somehow(fd, p->pause_us);
        if (echoes(p->kind) && (error = stream_give_all(&out, in.offset)) != 0)
            return error;
    }
    if (n < 0)
        return (int)n;
    if (in.offset < p->up)
        return -EPIPE;
    if (in.offset > p->up)
        fail("%lu bytes arrived, %lu were sent", in.offset, p->up);
    struct receipt receipt = { in.offset, in.sum };
    if ((error = raw_give(fd, &receipt, sizeof receipt)) != 0)
        return error;
    if ((error = stream_give_all(&down, p->down)) != 0)
        return error;
    if (counts(p)) {
        totals.received += in.offset;
        totals.returned += out.offset + down.offset;
    }
    return 0;
}

static void *serve(void *argument)
{
    int fd = (int)(intptr_t)argument, error;
    struct hello hello;
    struct end *e = end_enter("server", NULL, false);

    pthread_cleanup_push(serve_end, argument);
    error = raw_take(fd, &hello, sizeof hello, false);
    if (!error) {
        struct plan p = plan_of(hello.number);

        if (hello.check != mixed(hello.number ^ settings.seed))
            fail("a client says hello with a wrong number");
        end_begin(&p);
        if (p.kind == SERVER_CANCELLED) {
            MUST(pthread_mutex_lock(&e->lock));
            e->cancellable = true;
            MUST(pthread_mutex_unlock(&e->lock));
        }
        error = converse(fd, &p);
        if (error && !may_break(&p))
            fail("the connection broke: %s", strerror(-error));
    }
    if (error && error != -ECONNRESET && error != -EPIPE)
        fail("an end that no reset makes: %s", strerror(-error));
    pthread_cleanup_pop(1);
    return NULL;
}

static void acceptor_end(void *unused)
{
    me->cancelled = true; /* by servers_stop */
    end_leave(unused);
}

static void *acceptor(void *argument)
{
    int listener = (int)(intptr_t)argument;

    end_enter("acceptor", NULL, false);
    pthread_cleanup_push(acceptor_end, NULL);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd < 0 && errno == EINTR) {
            interrupted++;
            continue;
        }
        if (fd < 0)
            fail("accept: %s", strerror(errno));
        totals.servers++;
        totals.accepted++;
        MUST(pthread_detach(thread_start(serve, (void *)(intptr_t)fd)));
    }
    pthread_cleanup_pop(1);
    return NULL;
}

static int listening(int domain, void *address, socklen_t length, int place)
{
    int fd = socket(domain, SOCK_STREAM, 0);

    lengths[place] = length;
    memcpy(&addresses[place], address, length);
    if (fd < 0 || bind(fd, address, length) || listen(fd, 4096) ||
        (domain == AF_INET && getsockname(fd, (struct sockaddr *)&addresses[place], &length)))
        fail("listen: %s", strerror(errno));
    return fd;
}

void servers_start(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    /* In the abstract name space: no file is left behind. */
    int n = snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "soak-%d", (int)getpid());

    listeners[0] = listening(AF_INET, &in, sizeof in, 0);
    listeners[1] = listening(
        AF_UNIX, &un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n), 1);
    for (int i = 0; i < ACCEPTORS; i++)
        acceptors[i] = thread_start(acceptor, (void *)(intptr_t)listeners[i % 2]);
}

void servers_stop(void)
{
    void *value;

    for (int i = 0; i < ACCEPTORS; i++) {
        MUST(pthread_cancel(acceptors[i]));
        MUST(pthread_join(acceptors[i], &value));
        if (value != PTHREAD_CANCELED)
            fail("accept was cancelled, and its thread went on");
    }
    close(listeners[0]);
    close(listeners[1]);
}
