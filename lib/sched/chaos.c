/* RADDLE_CHAOS: schedules that are rare otherwise, for tests.
 *
 * Three places turn into something else, at random, when it is on:
 *
 *   the entry of a call that the shim answers   it enters the runtime and leaves it (chaos_call)
 *   each way into the runtime and out of it     the fiber yields, moves on, is delayed, waits behind
 *                                               those that used up their slice; the poller is asked
 *                                               early; a worker is woken that nobody needs (chaos_inside)
 *   the monitor's looks                         it stops a fiber wherever it stands, or takes its proc
 *                                               as if it were blocked (chaos_look)
 *
 * Nothing of that is more than the contracts of runtime_enter, runtime_leave and the program's side allow
 * at any time, so whatever breaks was broken before.
 *
 * Off, it costs nothing: the ways in and out already look at a word that is mostly zero (worker->retake,
 * fiber->attention), and fiber_here at the fiber's flags. On, bits in these words are never cleared, so
 * every such look takes the long way.
 *
 * Each worker draws from a generator of its own, seeded by the number that the user gave and the
 * worker's: the same number draws the same for each, as long as the kernel runs them alike. */
#include "sched/internal.h"

#include "arch/arch.h"
#include "base/option.h"

static uint64_t monitor_state;
bool chaos_on;
_Atomic uint64_t chaos_done[CHAOS_KINDS];

void chaos_start(void)
{
    if (!options.chaos)
        return;
    chaos_on = true;
    fiber_flags = FIBER_CHAOS;
    fiber_attention = ATTENTION_CHAOS;
    monitor_state = chaos_seed(UINT32_MAX);
}

/* splitmix64 */
static uint32_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (uint32_t)(z >> 32);
}

uint64_t chaos_seed(uint32_t id)
{
    return ((uint64_t)(uint32_t)options.chaos << 32 | id) * 0x9e3779b97f4a7c15ull;
}

static void did(enum chaos_kind kind)
{
    add_relaxed(&chaos_done[kind], 1);
}

static void requeue_local(struct worker *w, void *f)
{
    sched_deliver(w->proc, f);
}

static void requeue_elsewhere(struct worker *w, void *f)
{
    (void)w;
    sched_deliver(NULL, f);
    sched_wake_one();
}

static void let_others(struct fiber *self, void (*post)(struct worker *, void *))
{
    fiber_before_others(self);
    fiber_reschedule(self, post);
}

static void delay(uint32_t rounds)
{
    for (uint32_t i = 0; i < rounds; i++)
        arch_pause();
}

/* What must not be moved off its kernel thread, or asked not to be: preempt.c says the same. */
static bool left_alone(struct fiber *self)
{
    return load_relaxed(&self->nopreempt) || self->temporary || load_relaxed(&self->in_syscall);
}

void chaos_inside(struct fiber *self)
{
    struct worker *w = self->worker;
    uint32_t r = draw(&w->chaos);
    if (left_alone(self) || !w->proc)
        return;
    switch (r % 32) {
    case 0:
    case 1:
        did(CHAOS_YIELD);
        let_others(self, requeue_local);
        break;
    case 2:
        did(CHAOS_MIGRATE);
        let_others(self, requeue_elsewhere);
        break;
    case 3:
        did(CHAOS_HOG);
        let_others(self, requeue_hog);
        break;
    case 4:
        did(CHAOS_DELAY);
        delay(r >> 16 & 1023);
        break;
    case 5:
        did(CHAOS_WAKE);
        sched_wake_one();
        break;
    case 6:
        did(CHAOS_POLL);
        sched_poller->poll(w, w->proc, (int)runq_room(&w->proc->runq), true);
        break;
    default:
        break;
    }
}

void chaos_leaving(struct fiber *self)
{
    if (left_alone(self))
        return;
    runtime_enter(self); /* does it */
    store_release(&self->worker->in_runtime, 0);
    fence_compiler();
}

void chaos_call(struct fiber *self)
{
    if (left_alone(self) || load_relaxed(&self->worker->in_runtime))
        return;
    runtime_enter(self);
    runtime_leave(self);
}

void chaos_look(struct worker *w)
{
    struct fiber *f = load_relaxed(&w->cur);
    struct proc *p = *(struct proc *volatile *)&w->proc;
    if (!f || !p || w->blocker || load_relaxed(&w->in_runtime))
        return;
    uint32_t r = draw(&monitor_state) % 16;
    if (!load_relaxed(&chaos_done[CHAOS_TAKE]))
        r = 4; /* few fibers are out here when the monitor looks, in a short run: each takes one first */
    if (r < 4 && preempt_slice && !load_relaxed(&f->in_syscall)) {
        did(CHAOS_PREEMPT);
        preempt_request(w, p);
    } else if (r == 4 && proc_retake(w)) {
        did(CHAOS_TAKE);
        handoff_proc(p);
    }
}
