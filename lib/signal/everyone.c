/* Signals for the process while all who take them are parked.
 *
 * The kernel gives a signal for the process to any kernel thread that has it unblocked, and it kills the
 * process, or not, by the masks of kernel threads. So idle workers stand in for all fibers: an idle
 * worker blocks what every fiber blocks and nothing else. A signal that comes to one goes to a parked
 * fiber that takes it (route.c).
 *
 * `blocked` is a lower bound of what every fiber blocks: a fiber that unblocks something lowers it before
 * it parks, under the lock; blocking, and the end of a fiber, only make it out of date, and who needs it
 * next looks at all masks again. That stops as soon as it has come down to the bound, in most programs
 * after one fiber.
 *
 * A worker that went to sleep before keeps an older mask. Of what was unblocked since, that is made good
 * by waking one; of what was blocked since by waking those and waiting until they have the new mask, since
 * the next signal could otherwise end a process that had blocked it. For the same reason one waits for
 * kernel threads that still have the mask of a fiber which has gone on elsewhere.
 *
 * Fibers with a kernel thread of their own are the kernel's business. While no worker is idle, the monitor
 * looks after what only parked fibers take (signal_sweep in temporary.c). */
#include <time.h>
#include "arch/syscall.h"
#include "signal/everyone.h"

#define WAIT_YIELDS  100  /* then it takes what a busy machine takes, */
#define WAIT_NAPS    2000 /* of a millisecond */
#define LIBC_SIGNALS (3ull << 31)

static struct lock lock;
static _Atomic uint64_t blocked;
static _Atomic uint32_t version; /* of what was unblocked, and of what was blocked */
static _Atomic uint32_t stale = 1;

static bool counts(struct fiber *f)
{
    uint32_t state = load_relaxed(&f->state);
    return state != FIBER_FREE && state != FIBER_ENDED && !(load_relaxed(&f->flags) & FIBER_DIRECT);
}

/* A fiber that runs a handler will take again what it took before. */
static uint64_t mask_of(struct fiber *f)
{
    uint64_t mask = *(volatile uint64_t *)&f->sigmask;
    return load_relaxed(&f->attention) & ATTENTION_HANDLER ? mask & f->outer_mask : mask;
}

static void look_again(void)
{
    store_relaxed(&stale, 0);
    uint32_t seen = load_acquire(&version); /* partners: everyone_unblocked, everyone_blocked */
    /* Signal 33 is libc's: setuid waits for every kernel thread, also if there is no fiber to look at. */
    uint64_t bound = load_relaxed(&blocked), all = ~(1ull << 32);
    fence_seq(); /* partner: the barrier of whoever set stale after it changed its mask */
    struct fiber *f = sched_main_fiber;
    uint32_t slot = 0;
    if (f && counts(f))
        all &= mask_of(f);
    while (all != bound && (f = fiber_after(&slot)))
        if (counts(f))
            all &= mask_of(f);
    lock_acquire(&lock);
    if (load_relaxed(&version) == seen)
        store_relaxed(&blocked, all);
    else
        store_relaxed(&stale, 1);
    lock_release(&lock);
}

uint64_t everyone_blocks(void)
{
    for (int round = 0; unlikely(load_relaxed(&stale)) && round < 4; round++)
        look_again();
    return load_relaxed(&blocked);
}

static bool is_idle(struct worker *w)
{
    return load_relaxed(&w->alive) && !load_relaxed(&w->cur) && !w->blocker;
}

void everyone_unblocked(uint64_t mask)
{
    if (!(~mask & load_relaxed(&blocked)))
        return;
    lock_acquire(&lock);
    store_relaxed(&blocked, load_relaxed(&blocked) & mask);
    add_relaxed(&version, 1);
    lock_release(&lock);
    for (struct worker *w = load_acquire(&sched.workers); w; w = w->all)
        if (is_idle(w)) {
            worker_look(w);
            break;
        }
}

void everyone_blocked(void)
{
    /* Who is looking at the masks just now may have seen the old one, and must not say so after us. */
    lock_acquire(&lock);
    add_relaxed(&version, 1);
    lock_release(&lock);
    store_seq(&stale, 1); /* partner: the fence in look_again */
    uint64_t all = everyone_blocks();
    bool asked = false;
    struct timespec brief = { 0, 1000000 };
    for (int round = 0; round < WAIT_YIELDS + WAIT_NAPS; round++) {
        bool all_have_it = true;
        for (struct worker *w = load_acquire(&sched.workers); w; w = w->all) {
            /* Others than the idle ones come by themselves: their kernel threads have the mask of a
             * fiber that they no longer run. */
            if (w->carrier || (!w->blocker && !load_relaxed(&w->alive)) ||
                !(all & ~LIBC_SIGNALS & ~*(volatile uint64_t *)&w->sigmask))
                continue;
            all_have_it = false;
            if (!asked && is_idle(w))
                worker_look(w);
        }
        if (all_have_it)
            return;
        asked = true;
        if (round < WAIT_YIELDS)
            sys_call(SYS_sched_yield);
        else
            sys_call(SYS_nanosleep, &brief, NULL);
        all &= load_relaxed(&blocked); /* somebody may have unblocked it */
    }
}

bool everyone_takes(struct fiber *f, uint64_t bit)
{
    return !(mask_of(f) & bit);
}

struct fiber *everyone_find(uint64_t bit)
{
    struct fiber *f;
    for (uint32_t slot = 0; (f = fiber_after(&slot));)
        if (counts(f) && !f->ended && everyone_takes(f, bit))
            return f;
    store_relaxed(&stale, 1); /* or it would come again at once */
    return NULL;
}

void everyone_after_fork(void)
{
    lock_init(&lock);
    store_relaxed(&blocked, 0);
    store_relaxed(&stale, 1);
}
