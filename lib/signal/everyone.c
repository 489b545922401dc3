/* Signals for the process while all who take them are parked.
 *
 * The kernel gives a signal for the process to any kernel thread that has it unblocked, and it kills the
 * process, or not, by the masks of kernel threads. So idle workers stand in for all fibers: an idle
 * worker blocks what every fiber blocks and nothing else. A signal that comes to one goes to a parked
 * fiber that takes it (route in deliver.c).
 *
 * `blocked` is a lower bound of what every fiber blocks: a fiber that unblocks something lowers it before
 * it parks, under the lock; blocking, and the end of a fiber, only make it out of date, and who needs it
 * next looks at all masks again. That stops as soon as it has come down to the bound, in most programs
 * after one fiber.
 *
 * A worker that went to sleep before keeps an older mask. Of what was unblocked since, that is made good
 * by waking one; of what was blocked since by waking those and waiting until they have the new mask, since
 * the next signal could otherwise end a process that had blocked it.
 *
 * Fibers with a kernel thread of their own are the kernel's business. A signal that only parked fibers
 * take waits while every worker runs a fiber that blocks it. */
#include "arch/syscall.h"
#include "signal/everyone.h"

#define WAIT_ROUNDS 1000

static struct lock lock;
static _Atomic uint64_t blocked;
static _Atomic uint32_t version; /* of what was unblocked */
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
    uint32_t seen = load_acquire(&version); /* partner: everyone_unblocked */
    uint64_t bound = load_relaxed(&blocked), all = ~0ull;
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
    if (load_relaxed(&stale))
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
    store_seq(&stale, 1); /* partner: the fence in look_again */
    uint64_t all = everyone_blocks();
    bool asked = false;
    for (int round = 0; round < WAIT_ROUNDS; round++) {
        bool all_have_it = true;
        for (struct worker *w = load_acquire(&sched.workers); w; w = w->all) {
            if (!is_idle(w) || !(all & ~*(volatile uint64_t *)&w->sigmask))
                continue;
            all_have_it = false;
            if (!asked)
                worker_look(w);
        }
        if (all_have_it)
            return;
        asked = true;
        sys_call(SYS_sched_yield);
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
