/* The timer heap: 4-ary, an array of pointers, grown with mremap.
 *
 * Invariants: slot[i]->index == i for all armed timers; first equals slot[0]->when. fire() runs
 * without the heap's lock, because it takes the lock of a wait queue, under which timers are armed;
 * timer_disarm therefore waits while its timer is FIRING, so that the waiter's stack frame (which
 * holds the timer) outlives the call.
 *
 * Armed and disarmed by fibers inside the runtime; run on scheduler stacks. */
#include "sched/timer.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>
#include "arch/clock.h"

#define ARITY      4u
#define FIRST_ROOM 512u /* one page of pointers */

uint64_t timer_now(void)
{
    struct timespec ts;
    arch_clock(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

void timer_heap_init(struct timer_heap *h)
{
    *h = (struct timer_heap){ .first = TIMER_NEVER };
}

static void place(struct timer_heap *h, uint32_t i, struct timer *t)
{
    h->slot[i] = t;
    t->index = i;
}

static void sift_up(struct timer_heap *h, uint32_t i, struct timer *t)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / ARITY;
        if (h->slot[parent]->when <= t->when)
            break;
        place(h, i, h->slot[parent]);
        i = parent;
    }
    place(h, i, t);
}

static void sift_down(struct timer_heap *h, uint32_t i, struct timer *t)
{
    for (;;) {
        uint32_t child = i * ARITY + 1, best = child;
        if (child >= h->count)
            break;
        for (uint32_t k = child + 1; k < child + ARITY && k < h->count; k++)
            if (h->slot[k]->when < h->slot[best]->when)
                best = k;
        if (h->slot[best]->when >= t->when)
            break;
        place(h, i, h->slot[best]);
        i = best;
    }
    place(h, i, t);
}

static void publish_first(struct timer_heap *h)
{
    store_relaxed(&h->first, h->count ? h->slot[0]->when : TIMER_NEVER);
}

static int grow(struct timer_heap *h)
{
    uint32_t room = h->room ? h->room * 2 : FIRST_ROOM;
    void *p;
    if (h->slot)
        p = mremap(h->slot, h->room * sizeof *h->slot, room * sizeof *h->slot, MREMAP_MAYMOVE);
    else
        p = mmap(NULL, room * sizeof *h->slot, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);
    if (p == MAP_FAILED)
        return -ENOMEM;
    h->slot = p;
    h->room = room;
    return 0;
}

int timer_arm(struct timer_heap *h, struct timer *t)
{
    lock_acquire(&h->lock);
    if (h->count == h->room && grow(h)) {
        lock_release(&h->lock);
        return -ENOMEM;
    }
    t->heap = h;
    store_relaxed(&t->state, TIMER_ARMED);
    sift_up(h, h->count++, t);
    publish_first(h);
    lock_release(&h->lock);
    return 0;
}

static void take_out(struct timer_heap *h, struct timer *t)
{
    uint32_t i = t->index;
    struct timer *last = h->slot[--h->count];
    if (last != t) {
        if (i > 0 && last->when < h->slot[(i - 1) / ARITY]->when)
            sift_up(h, i, last);
        else
            sift_down(h, i, last);
    }
    publish_first(h);
}

void timer_disarm(struct timer *t)
{
    struct timer_heap *h = t->heap;
    if (load_acquire(&t->state) == TIMER_IDLE) /* partner: the release in timer_run */
        return;
    lock_acquire(&h->lock);
    if (load_relaxed(&t->state) == TIMER_ARMED) {
        take_out(h, t);
        store_relaxed(&t->state, TIMER_IDLE);
    }
    lock_release(&h->lock);
    for (unsigned round = 0; load_acquire(&t->state) == TIMER_FIRING; round++)
        lock_relax(round);
}

int timer_run(struct timer_heap *h, struct worker *w, uint64_t now)
{
    int fired = 0;
    while (load_relaxed(&h->first) <= now) {
        lock_acquire(&h->lock);
        struct timer *t = h->count ? h->slot[0] : NULL;
        if (!t || t->when > now) {
            lock_release(&h->lock);
            break;
        }
        take_out(h, t);
        store_relaxed(&t->state, TIMER_FIRING);
        lock_release(&h->lock);
        t->fire(w, t->arg);
        store_release(&t->state, TIMER_IDLE); /* partner: timer_disarm; t may be gone after this */
        fired++;
    }
    return fired;
}
