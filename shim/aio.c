/* Calls of libc's that wait by a futex inside libc and say EINTR when any signal ends that wait: only a
 * handler of the calling thread's may (call_disturbed). Called on the program's stacks. */
#include "shim/calls.h"

/* Waits once; whether a signal ended that, and in any case the call's result. */
typedef bool suspend_once(const void *list, int n, const struct timespec *timeout, int *result);

static int suspend(struct fiber *self, suspend_once *once, const void *list, int n,
                   const struct timespec *timeout)
{
    const struct timespec *whole = timeout;
    uint64_t start = timer_now();
    struct timespec left;
    int r;
    handoff_block_enter(self);
    for (;;) {
        call_begins(self);
        if (!once(list, n, timeout, &r) || !call_disturbed(self, !whole))
            break;
        if (whole)
            timeout = timeout_left(whole, start, &left);
    }
    handoff_block_leave(self);
    return r;
}

static bool aio_once(const void *list, int n, const struct timespec *timeout, int *result)
{
    *result = REAL(aio_suspend)(list, n, timeout);
    return *result != 0 && errno == EINTR;
}

EXPORT int aio_suspend(const struct aiocb *const list[], int n, const struct timespec *timeout)
{
    struct fiber *self = fiber_here();
    if (!self)
        return REAL(aio_suspend)(list, n, timeout);
    add_relaxed(&call_passed[CALL_aio_suspend], 1);
    return suspend(self, aio_once, list, n, timeout);
}

static bool gai_once(const void *list, int n, const struct timespec *timeout, int *result)
{
    *result = REAL(gai_suspend)(list, n, timeout);
    return *result == EAI_INTR;
}

EXPORT int gai_suspend(const struct gaicb *const list[], int n, const struct timespec *timeout)
{
    struct fiber *self = fiber_here();
    if (!self)
        return REAL(gai_suspend)(list, n, timeout);
    add_relaxed(&call_passed[CALL_gai_suspend], 1);
    return suspend(self, gai_once, list, n, timeout);
}

/* What is left of LIO_WAIT when the wait was disturbed: the requests are under way. */
static int wait_for_all(struct fiber *self, struct aiocb *const list[], int n)
{
    bool failed = false;
    for (int i = 0; i < n; i++) {
        const struct aiocb *one = list[i];
        if (!one || one->aio_lio_opcode == LIO_NOP)
            continue;
        while (aio_error(one) == EINPROGRESS)
            if (UNDISTURBED(self, REAL(aio_suspend)(&one, 1, NULL)) < 0)
                return -1;
        failed |= aio_error(one) != 0;
    }
    if (failed)
        errno = EIO;
    return failed ? -1 : 0;
}

EXPORT int lio_listio(int mode, struct aiocb *const list[], int n, struct sigevent *event)
{
    struct fiber *self = fiber_here();
    if (!self)
        return REAL(lio_listio)(mode, list, n, event);
    add_relaxed(&call_passed[CALL_lio_listio], 1);
    handoff_block_enter(self);
    call_begins(self);
    int r = REAL(lio_listio)(mode, list, n, event);
    if (r < 0 && errno == EINTR && mode == LIO_WAIT && call_disturbed(self, true))
        r = wait_for_all(self, list, n);
    handoff_block_leave(self);
    return r;
}

EXPORT int posix_fallocate(int fd, off_t offset, off_t n)
{
    struct fiber *self = fiber_here();
    int err;
    if (!self)
        return REAL(posix_fallocate)(fd, offset, n);
    add_relaxed(&call_passed[CALL_posix_fallocate], 1);
    handoff_enter(self);
    do {
        call_begins(self);
        err = REAL(posix_fallocate)(fd, offset, n);
    } while (err == EINTR && call_disturbed(self, true));
    handoff_leave(self);
    return err;
}
