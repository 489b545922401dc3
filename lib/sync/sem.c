/* Semaphores, in glibc's layout: value and number of waiters in one word, so
 * that a post is one atomic addition that also tells whether somebody must be woken; *s is not
 * touched after it and may be destroyed by whoever takes the token. Process-shared and named ones differ
 * in that their waiters wait in the kernel. */
#include "sync/sync.h"

#include <errno.h>
#include <limits.h>

#define WAITER (1ull << 32)

static _Atomic uint32_t *value_word(struct sem *s)
{
    return (_Atomic uint32_t *)&s->data; /* the low half, little-endian */
}

int sem_try(struct sem *s)
{
    uint64_t d = load_relaxed(&s->data);
    while ((uint32_t)d > 0)
        if (cas_acquire(&s->data, &d, d - 1)) /* partner: sem_give */
            return 0;
    return -EAGAIN;
}

int sem_take(struct sem *s, uint64_t deadline)
{
    if (!sem_try(s))
        return 0;
    uint64_t d = atomic_fetch_add_explicit(&s->data, WAITER, memory_order_relaxed) + WAITER;
    for (;;) {
        if ((uint32_t)d > 0) {
            if (cas_acquire(&s->data, &d, d - 1 - WAITER))
                return 0;
            continue;
        }
        int err = s->shared ? shared_wait(value_word(s), 0, deadline, PARK_SEM)
                            : waitq_wait(value_word(s), 0, WAITQ_ANY, deadline, PARK_SEM);
        d = load_relaxed(&s->data);
        if ((err == -ETIMEDOUT || err == -EINTR) && !(uint32_t)d) {
            atomic_fetch_sub_explicit(&s->data, WAITER, memory_order_relaxed);
            return err;
        }
    }
}

int sem_give(struct sem *s)
{
    uint64_t d = load_relaxed(&s->data);
    bool shared = s->shared;
    do {
        if ((uint32_t)d == SEM_VALUE_MAX)
            return -EOVERFLOW;
    } while (!cas_seq(&s->data, &d, d + 1)); /* partner: waitq_enter's add to count */
    if (d >= WAITER && shared)
        shared_wake(value_word(s), 1);
    else if (d >= WAITER)
        waitq_wake(s, 1, WAITQ_ANY);
    return 0;
}
