/*
 * Moves bytes by every call that can, and checks each of them: byte n of a stream is a function of the
 * stream's key and n, so a byte that is lost, doubled, or someone else's shows at once. EINTR is
 * handled as programs do, and is an error where only signals with SA_RESTART are sent.
 */
#include "soak.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void pattern(uint64_t key, uint64_t offset, uint8_t *data, size_t n)
{
    uint64_t word = mixed(key ^ (offset / 8));

    for (size_t i = 0; i < n; i++, offset++) {
        if (offset % 8 == 0)
            word = mixed(key ^ (offset / 8));
        data[i] = (uint8_t)(word >> (offset % 8 * 8));
    }
}

static uint64_t summed(uint64_t sum, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ data[i]) * 0x100000001b3;
    return sum;
}

uint64_t dice(void)
{
    return me->random = mixed(me->random);
}

/* Whether a call is made again: EINTR, and nobody had promised that there is none. */
static bool again(ssize_t result, bool timeouts, const char *call)
{
    if (result >= 0 || errno != EINTR)
        return false;
    if (me->restart_only && !timeouts)
        fail("%s ends with EINTR, but only signals with SA_RESTART were sent", call);
    interrupted++;
    return true;
}

/* A cancellation point was entered after pthread_cancel had returned, and yet it returned. */
static void not_cancelled(bool before, const char *call)
{
    int state;

    if (!before)
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    if (state == PTHREAD_CANCEL_ENABLE)
        fail("%s returned to a thread that had been cancelled before", call);
}

static ssize_t take(int fd, void *data, size_t n, bool timeouts)
{
    static const char *const names[] = { "read",    "recv", "recvfrom",  "readv",
                                         "recvmsg", "poll", "recv/peek", "recv/waitall" };
    ssize_t result;
    unsigned way = dice() % 8;

    me->doing = names[way];
    do {
        bool before = me->cancelled;
        struct iovec half[2] = { { data, n / 2 }, { (char *)data + n / 2, n - n / 2 } };
        struct msghdr message = { .msg_iov = half, .msg_iovlen = 2 };

        switch (way) {
        case 0:
            result = read(fd, data, n);
            break;
        case 1:
            result = recv(fd, data, n, 0);
            break;
        case 2:
            result = recvfrom(fd, data, n, 0, NULL, NULL);
            break;
        case 3:
            result = readv(fd, half, 2);
            break;
        case 4:
            result = recvmsg(fd, &message, 0);
            break;
        case 5: {
            struct pollfd p = { fd, POLLIN, 0 };

            /* poll is never restarted, and there may be another reason than data. */
            do {
                if (!timeouts && poll(&p, 1, -1) < 0 && errno != EINTR)
                    fail("poll: %s", strerror(errno));
                result = recv(fd, data, n, timeouts ? 0 : MSG_DONTWAIT);
            } while (result < 0 && errno == EAGAIN && !timeouts);
            break;
        }
        case 6:
            result = recv(fd, data, n, MSG_PEEK);
            if (result > 0) {
                ssize_t seen = recv(fd, data, (size_t)result, MSG_DONTWAIT);

                if (seen != result)
                    fail("%zd bytes were seen by MSG_PEEK, %zd read then", result, seen);
            }
            break;
        default:
            result = recv(fd, data, n < 16 ? n : 16, MSG_WAITALL);
        }
        if (result >= 0)
            not_cancelled(before, names[way]);
    } while (again(result, timeouts, names[way]));
    me->doing = "";
    return result < 0 ? -errno : result;
}

static ssize_t give(int fd, const void *data, size_t n, bool timeouts)
{
    static const char *const names[] = { "write", "send", "sendto", "writev", "sendmsg" };
    ssize_t result;
    unsigned way = dice() % 5;

    me->doing = names[way];
    do {
        bool before = me->cancelled;
        struct iovec half[2] = { { (void *)data, n / 2 }, { (char *)data + n / 2, n - n / 2 } };
        struct msghdr message = { .msg_iov = half, .msg_iovlen = 2 };

        switch (way) {
        case 0:
            result = write(fd, data, n);
            break;
        case 1:
            result = send(fd, data, n, 0);
            break;
        case 2:
            result = sendto(fd, data, n, MSG_NOSIGNAL, NULL, 0);
            break;
        case 3:
            result = writev(fd, half, 2);
            break;
        default:
            result = sendmsg(fd, &message, MSG_NOSIGNAL);
        }
        if (result >= 0)
            not_cancelled(before, names[way]);
    } while (again(result, timeouts, names[way]));
    me->doing = "";
    if (result == 0)
        fail("%s sent nothing of %zu bytes", names[way], n);
    return result < 0 ? -errno : result;
}

ssize_t stream_take(struct stream *s, void *buffer, size_t most)
{
    uint8_t right[PIECE];
    const uint8_t *data = buffer;
    uint64_t start = now_ns();
    ssize_t n = take(s->fd, buffer, most, s->timeouts);

    /* A tick of tolerance: the kernel counts such timeouts in ticks, and the first has begun. */
    if (n == -EAGAIN && s->timeouts && now_ns() - start + 10000000 < s->timeout_ns)
        fail("a read timed out %lu us early", (s->timeout_ns - (now_ns() - start)) / 1000);
    if (n <= 0)
        return n;
    pattern(s->key, s->offset, right, (size_t)n);
    for (ssize_t i = 0; i < n; i++)
        if (data[i] != right[i])
            fail("byte %lu of the stream is wrong (%zd of %zd that came at once)",
                 s->offset + (uint64_t)i, i, n);
    s->sum = summed(s->sum, data, (size_t)n);
    s->offset += (uint64_t)n;
    me->bytes += (uint64_t)n;
    return n;
}

ssize_t stream_give(struct stream *s, size_t most)
{
    uint8_t data[PIECE];
    size_t n = most < PIECE ? most : PIECE;

    pattern(s->key, s->offset, data, n);
    ssize_t sent = give(s->fd, data, n, s->timeouts);
    if (sent <= 0)
        return sent;
    s->sum = summed(s->sum, data, (size_t)sent);
    s->offset += (uint64_t)sent;
    me->bytes += (uint64_t)sent;
    return sent;
}

static bool goes_on(const struct stream *s, ssize_t result)
{
    if (result != -EAGAIN || !s->timeouts)
        return false;
    totals.timeouts++;
    return true;
}

int stream_take_all(struct stream *s, uint64_t until)
{
    uint8_t buffer[PIECE];

    while (s->offset < until) {
        uint64_t left = until - s->offset;
        ssize_t n = stream_take(s, buffer, left < PIECE ? left : PIECE);

        if (n <= 0 && !goes_on(s, n))
            return n ? (int)n : -EPIPE;
    }
    return 0;
}

int stream_give_all(struct stream *s, uint64_t until)
{
    while (s->offset < until) {
        ssize_t n = stream_give(s, until - s->offset);

        if (n < 0 && !goes_on(s, n))
            return (int)n;
    }
    return 0;
}

int raw_take(int fd, void *data, size_t n, bool timeouts)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = take(fd, (char *)data + done, n - done, timeouts);

        if (got == -EAGAIN && timeouts)
            totals.timeouts++;
        else if (got <= 0)
            return got ? (int)got : -EPIPE;
        else
            done += (size_t)got;
    }
    return 0;
}

int raw_give(int fd, const void *data, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t sent = give(fd, (const char *)data + done, n - done, false);

        if (sent < 0)
            return (int)sent;
        done += (size_t)sent;
    }
    return 0;
}

/* In one of the ways in which programs wait for nothing. Signals may end it early. */
void pause_somehow(int fd, long us)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    struct timespec t = { us / 1000000, us % 1000000 * 1000 };
    struct timeval v = { us / 1000000, us % 1000000 };
    struct pollfd p = { fd, 0, 0 };

    me->doing = "a pause";
    switch (dice() % 5) {
    case 0:
        nanosleep(&t, NULL);
        break;
    case 1:
        poll(&p, 1, (int)(us / 1000));
        break;
    case 2:
        select(0, NULL, NULL, NULL, &v);
        break;
    case 3: {
        struct timespec until;

        /* Not for threads that may be cancelled: the others share this mutex. */
        if (me->cancellable)
            break;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += us % 1000000 * 1000;
        until.tv_sec += us / 1000000 + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        MUST(pthread_mutex_lock(&lock));
        int error = pthread_cond_timedwait(&never, &lock, &until);
        MUST(pthread_mutex_unlock(&lock));
        if (error && error != ETIMEDOUT)
            fail("pthread_cond_timedwait: %s", strerror(error));
        break;
    }
    default:
        usleep((useconds_t)us);
    }
    me->doing = "";
}

void close_with_reset(int fd)
{
    struct linger now = { 1, 0 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}
