/* Message queues and System V semaphores and messages.
 *
 * A POSIX queue is a descriptor on Linux: each call is tried without waiting (with a deadline that has
 * passed, since O_NONBLOCK belongs to everybody), and the fiber waits for the descriptor. The other
 * kind has no descriptor: tried with IPC_NOWAIT, and only if that would have waited does the call
 * block a kernel thread.
 *
 * Called on the program's stacks; results inside are the kernel's kind. */
#include "shim/fdio.h"

#include <poll.h>
#include <string.h>
#include "sync/waitq.h"

#define FEW_OPS 32

/* ---- POSIX ---- */

struct queue_call {
    long nr;
    int fd;
    void *msg;
    size_t n;
    unsigned long priority; /* a number to send, a pointer to receive */
};

static long queue_call(const struct queue_call *c, const struct timespec *abstime)
{
    return sys_call(c->nr, c->fd, c->msg, c->n, c->priority, abstime);
}

/* Not inlined: the headers say that abstime is never NULL, and the compiler would believe it here. */
__attribute__((noinline)) static long queue_wait(struct fiber *self, const struct queue_call *c,
                                                 const struct timespec *abstime)
{
    static const struct timespec past = { 0, 0 };
    bool sends = c->nr == SYS_mq_timedsend;
    uint64_t deadline = TIMER_NEVER;
    if (abstime && (user_check(self, abstime, sizeof *abstime) || abstime->tv_sec < 0 ||
                    !deadline_from(CLOCK_REALTIME, abstime, &deadline)))
        return queue_call(c, abstime); /* EFAULT, EINVAL, but after the errors that come before */
    for (;;) {
        long r = queue_call(c, &past);
        if (r != -ETIMEDOUT)
            return r;
        long ready = RESTART(self, true,
                             poller_wait(self, c->fd, sends ? POLLOUT : POLLIN, deadline,
                                         sends ? PARK_WRITE : PARK_READ));
        if (ready < 0)
            return ready == -ETIME ? -ETIMEDOUT : ready;
    }
}

EXPORT int mq_timedsend(mqd_t q, const char *msg, size_t n, unsigned priority,
                        const struct timespec *abstime)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(mq_timedsend)(q, msg, n, priority, abstime);
    struct queue_call c = { SYS_mq_timedsend, q, (void *)(uintptr_t)msg, n, priority };
    return (int)set_errno(queue_wait(self, &c, abstime));
}

EXPORT int mq_send(mqd_t q, const char *msg, size_t n, unsigned priority)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(mq_send)(q, msg, n, priority);
    struct queue_call c = { SYS_mq_timedsend, q, (void *)(uintptr_t)msg, n, priority };
    return (int)set_errno(queue_wait(self, &c, NULL));
}

EXPORT ssize_t mq_timedreceive(mqd_t q, char *msg, size_t n, unsigned *priority,
                               const struct timespec *abstime)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(mq_timedreceive)(q, msg, n, priority, abstime);
    struct queue_call c = { SYS_mq_timedreceive, q, msg, n, (uintptr_t)priority };
    return set_errno(queue_wait(self, &c, abstime));
}

EXPORT ssize_t mq_receive(mqd_t q, char *msg, size_t n, unsigned *priority)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(mq_receive)(q, msg, n, priority);
    struct queue_call c = { SYS_mq_timedreceive, q, msg, n, (uintptr_t)priority };
    return set_errno(queue_wait(self, &c, NULL));
}

/* The number may mean another file afterwards. */
EXPORT int mq_close(mqd_t q)
{
    return close(q);
}

/* ---- System V ---- */

EXPORT int semtimedop(int id, struct sembuf *ops, size_t n, const struct timespec *timeout)
{
    struct fiber *self = fiber_here();
    if (!self)
        return REAL(semtimedop)(id, ops, n, timeout);
    struct sembuf now[FEW_OPS];
    if (n && n <= FEW_OPS && !user_check(self, ops, n * sizeof *ops) &&
        !(timeout && user_check(self, timeout, sizeof *timeout))) {
        memcpy(now, ops, n * sizeof *ops);
        for (size_t i = 0; i < n; i++)
            now[i].sem_flg |= IPC_NOWAIT;
        long r = sys_call(SYS_semtimedop, id, now, n, NULL);
        if (r != -EAGAIN)
            return (int)set_errno(r);
    }
    /* Never restarted after a handler, and no cancellation point: what else interrupts it is ours. */
    const struct timespec *whole = timeout;
    uint64_t start = timer_now();
    struct timespec left;
    long r;
    for (handoff_block_enter(self);;) {
        call_begins(self);
        r = fiber_call_through(self, SYS_semtimedop, id, ops, n, timeout);
        if (r != -EINTR || !call_disturbed(self, false))
            break;
        if (whole)
            timeout = timeout_left(whole, start, &left);
    }
    handoff_block_leave(self);
    return (int)set_errno(r);
}

EXPORT int semop(int id, struct sembuf *ops, size_t n)
{
    return semtimedop(id, ops, n, NULL);
}

EXPORT int msgsnd(int id, const void *msg, size_t n, int flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(msgsnd)(id, msg, n, flags);
    long r = sys_call(SYS_msgsnd, id, msg, n, flags | IPC_NOWAIT);
    if (r == -EAGAIN && !(flags & IPC_NOWAIT))
        r = BLOCKED(self, CALL_RESTART(self, false, SYS_msgsnd, id, msg, n, flags));
    return (int)set_errno(r);
}

EXPORT ssize_t msgrcv(int id, void *msg, size_t n, long type, int flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(msgrcv)(id, msg, n, type, flags);
    long r = sys_call(SYS_msgrcv, id, msg, n, type, flags | IPC_NOWAIT);
    if (r == -ENOMSG && !(flags & IPC_NOWAIT))
        r = BLOCKED(self, CALL_RESTART(self, false, SYS_msgrcv, id, msg, n, type, flags));
    return set_errno(r);
}
