/* What is pending for a fiber: the list of its notes, in the order in which they are to be handled.
 *
 * Invariants: a note in fiber->notes carries the fiber's tid, or is one for a thread that had the slot before
 * and is passed on by whoever takes it; a bit of fiber->pending is set while the list has a note of
 * that number, or will have one in a moment.
 *
 * Anybody adds, without a lock; only the fiber itself takes. Async-signal-safe. */
#include <signal.h>
#include <time.h>
#include "arch/syscall.h"
#include "signal/route.h"
#include "signal/signal.h"

/* Of a fiber that has ended: what was for the process goes to somebody else, by way of w, or of another
 * if w is one that does not look. */
void signal_forward(struct worker *w, struct note *n)
{
    if (!w || w->carrier)
        w = load_acquire(&sched.workers);
    while (w && (w->carrier || w->blocker))
        w = w->all;
    if (!n->process || !w) {
        note_free(n);
        return;
    }
    note_push(&w->notes, n);
    worker_look(w);
}

/* The kernel's order: faults, then the lowest number; within one number the order of arrival. */
static bool goes_before(const struct note *a, const struct note *b)
{
    int x = a->info.si_signo, y = b->info.si_signo;
    bool fault_x = FAULTS & SIGNAL_BIT(x), fault_y = FAULTS & SIGNAL_BIT(y);
    if (x == y)
        return a->sequence < b->sequence;
    return fault_x == fault_y ? x < y : fault_x;
}

struct note *signal_next(struct fiber *self, uint64_t set)
{
    if (!load_relaxed(&self->notes))
        return NULL;
    struct note *found = NULL, *all = note_take_all(&self->notes);
    for (struct note *n = all; n; n = n->next)
        if (n->tid == self->tid && (set & SIGNAL_BIT(n->info.si_signo)) && !note_void(n) &&
            (!found || goes_before(n, found)))
            found = n;
    uint64_t bit = found ? SIGNAL_BIT(found->info.si_signo) : 0;
    bool more = false;
    /* Before the others of its number are back: whoever sends one now sets the bit again. */
    atomic_fetch_and_explicit(&self->pending, ~bit, memory_order_seq_cst);
    for (struct note *n = all, *next; n; n = next) {
        next = n->next;
        if (note_void(n)) {
            note_free(n);
        } else if (n->tid != self->tid) {
            signal_forward(self->worker, n);
        } else if (n != found) {
            more |= SIGNAL_BIT(n->info.si_signo) == bit;
            note_push(&self->notes, n);
        }
    }
    if (more)
        atomic_fetch_or_explicit(&self->pending, bit, memory_order_relaxed);
    return found;
}

bool signal_take(struct fiber *self, uint64_t set, siginfo_t *info)
{
    struct note *n = signal_next(self, set);
    if (!n)
        return false;
    *info = n->info;
    note_free(n);
    signal_kicks_gone(self, SIGNAL_BIT(info->si_signo));
    return true;
}

/* False: it is pending already, and ordinary signals do not queue. */
bool signal_keep(struct fiber *f, struct note *n)
{
    int sig = n->info.si_signo;
    uint64_t bit = SIGNAL_BIT(sig);
    bool was_void = note_void(n);
    if (was_void || ((atomic_fetch_or_explicit(&f->pending, bit, memory_order_seq_cst) & bit) &&
                     sig < SIGRTMIN)) {
        note_free(n);
        return false;
    }
    if (note_void(n)) /* since: then it came after that, or its bit would stand for nothing */
        note_renew(n);
    n->tid = f->tid;
    note_push(&f->notes, n);
    atomic_fetch_or_explicit(&f->attention, ATTENTION_SIGNAL, memory_order_seq_cst);
    return true;
}

static void discard(uint64_t set)
{
    if (!note_count())
        return;
    for (uint64_t rest = set; rest; rest &= rest - 1)
        note_discard(__builtin_ctzll(rest) + 1);
    struct fiber *f = sched_main_fiber;
    uint32_t slot = 0;
    do {
        if (f && load_relaxed(&f->pending) & set)
            atomic_fetch_and_explicit(&f->pending, ~set, memory_order_seq_cst);
    } while ((f = fiber_after(&slot)));
}

void signal_ignored(int sig)
{
    discard(SIGNAL_BIT(sig));
}

void signal_excludes(int sig)
{
    uint64_t set = sig == SIGCONT ? STOPS : SIGNAL_BIT(sig) & STOPS ? SIGNAL_BIT(SIGCONT) : 0;
    struct timespec now = { 0, 0 };
    siginfo_t info;
    if (likely(!set))
        return;
    discard(set);
    while (sys_call(SYS_rt_sigtimedwait, &set, &info, &now, 8) > 0) /* what the kernel has */
        ;
}

void signal_adopt(struct fiber *self, int sig)
{
    uint64_t bit = SIGNAL_BIT(sig);
    struct timespec now = { 0, 0 };
    siginfo_t info;
    if (!(self->sigmask & bit) || sys_call(SYS_rt_sigtimedwait, &bit, &info, &now, 8) != sig)
        return;
    struct note *n = note_make(&info);
    if (n)
        signal_keep(self, n);
}
