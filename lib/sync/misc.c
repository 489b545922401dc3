/* Barriers, once-only initialisation and spin locks.
 *
 * Barrier: the last to arrive resets it and takes all waiters off the queue under the bucket's lock;
 * nobody touches it afterwards, so it may be destroyed as soon as one thread has returned.
 * Once: 0 not run, 1 running, 2 done (glibc's value); an initialiser that is left by an exception,
 * pthread_exit or cancellation leaves 0 behind and wakes the next to try.
 * Spin: glibc's values, 1 free, anything else held; after a short spin the fiber yields, so a holder
 * that is not running gets its turn. */
#include "sync/sync.h"

#include <errno.h>
#include "arch/arch.h"

int barrier_wait(struct barrier *bar)
{
    struct fiber *self = fiber_current();
    struct bucket *b = waitq_enter(self, bar);
    if (bar->in + 1 < bar->count) {
        bar->in++;
        /* Who is interrupted by a signal has not arrived, and comes again. */
        struct waiter x = { .bits = WAITQ_ANY, .counter = &bar->in };
        if (waitq_park(self, b, &x, bar, false, TIMER_NEVER, PARK_BARRIER) == -EINTR) {
            sched_wait_interrupted(self);
            return barrier_wait(bar);
        }
        return 0;
    }
    bar->round++;
    struct wake_list woken = { 0 };
    for (struct waiter *x; (x = waitq_first(b, bar));) {
        waitq_take(b, x); /* lowers in, down to 0 */
        wake_list_add(&woken, x);
    }
    atomic_fetch_sub_explicit(&b->count, 1, memory_order_relaxed); /* waitq_enter's */
    waitq_unlock_and_wake(self, b, &woken);
    return 1;
}

#define ONCE_RUNNING 1u
#define ONCE_DONE    2u

extern void _pthread_cleanup_push(struct _pthread_cleanup_buffer *buf, void (*routine)(void *),
                                  void *arg);
extern void _pthread_cleanup_pop(struct _pthread_cleanup_buffer *buf, int execute);

/* In libc's list of handlers as well: if init has no unwind tables, the unwinder never reaches us, and
 * libc runs what is in the list. */
struct once_guard {
    _Atomic uint32_t *control;
    uint32_t outcome;
    struct _pthread_cleanup_buffer in_list;
};

static void once_leave(void *guard)
{
    struct once_guard *g = guard;
    _pthread_cleanup_pop(&g->in_list, 0);
    store_seq(g->control, g->outcome); /* partner: the acquire in once_run */
    waitq_wake((const void *)g->control, INT32_MAX, WAITQ_ANY);
}

int once_run(_Atomic uint32_t *control, void (*init)(void))
{
    for (;;) {
        uint32_t state = load_acquire(control);
        if (likely(state == ONCE_DONE))
            return 0;
        if (state == ONCE_RUNNING) {
            if (waitq_wait(control, ONCE_RUNNING, WAITQ_ANY, TIMER_NEVER, PARK_ONCE) == -EINTR)
                sched_wait_interrupted(fiber_current());
            continue;
        }
        if (!cas_acquire(control, &state, ONCE_RUNNING))
            continue;
        struct once_guard guard __attribute__((cleanup(once_leave))) = { .control = control };
        _pthread_cleanup_push(&guard.in_list, once_leave, &guard);
        init();
        guard.outcome = ONCE_DONE;
        return 0;
    }
}

int spin_try(_Atomic int *s)
{
    return atomic_exchange_explicit(s, 0, memory_order_acquire) == 1 ? 0 : -EBUSY;
}

int spin_acquire(_Atomic int *s)
{
    for (unsigned i = 1; spin_try(s); i++) {
        while (load_relaxed(s) <= 0 && i % 128) {
            arch_pause();
            i++;
        }
        if (i % 128 == 0)
            fiber_yield(fiber_current());
    }
    return 0;
}

int spin_release(_Atomic int *s)
{
    store_release(s, 1);
    return 0;
}
