/* From the arrival of a signal to the program's handler.
 *
 * The kernel delivers to kernel threads, the program means threads of its own. What happens when a
 * signal arrives depends on what it interrupts:
 *
 *   the program's code on a fiber    the handler runs right there, with the mask that the kernel
 *                                    made for it recorded as the fiber's (it may park and migrate)
 *   the runtime, or a scheduler      it is noted in the worker (struct note), whose next fiber that
 *   stack                            leaves the runtime, or scheduler loop, chooses a fiber for it
 *   a kernel-thread fiber            the handler runs right there; if it is inside the runtime, a
 *   (bound, foreign, dormant main)   note is made, which ends its park, and the handler runs when it
 *                                    has left
 *
 * and a signal for the process is passed to the main thread if that takes it, as the kernel does.
 * A note that has reached its fiber is raised by that fiber on itself (rt_tgsigqueueinfo to its
 * own kernel thread), outside the runtime, so the handler always has a frame of the kernel's: its
 * return, a siglongjmp out of it and what it changes in its context work as ever. If no fiber takes
 * a signal it goes back to the kernel, which keeps it pending for the process.
 *
 * The order. A fiber takes the oldest of its notes, and has raised at most one of them that has not
 * arrived (fiber->raised): none overtakes it in the kernel. What is raised is pending for a kernel
 * thread, so while it is, nothing may take the fiber off that thread. Raised where it is not blocked it
 * arrives before the system call returns; where the kernel blocks it until the end of a handler's frame,
 * which returns at once then, it arrives as that ends. In between only signals can come. The program's
 * handlers, which may park, wait then (signal_arrived). The monitor's signal, whose number is lower than
 * those that queue, comes first in spite of having been sent later, and its handler may move the fiber:
 * it takes back what is raised before it does (take_back). A note that goes back, or that was raised
 * and arrived where no handler may run, goes back with the number by which it is ordered.
 *
 * A fiber that is to look at its notes is interrupted if it is parked (fiber_interrupt), sees them
 * when it leaves the runtime or before it parks, and is sent a kick if it computes or sits in a
 * system call: the signal itself, marked, to its kernel thread. The order that makes this complete
 * is that of proc_retake: sender stores, makes all CPUs pass a barrier, and looks; the fiber changes
 * its state, and looks, without a fence.
 *
 * "The program's code" excludes our own text even outside the runtime: it may hold the address of its
 * worker in a register, and a handler may migrate. The exception is the end of a system call there, and
 * where the kernel restarts one of the program's.
 * A signal put off for that reason is delivered at the next way out, or by the monitor.
 *
 * A kick finds its target or nobody: it is sent while the target is held where it is (worker_hold). What
 * the kernel hands to whichever thread, and what the monitor sends, may still end a system call of a
 * fiber that has nothing to do with it; `disturbed` without `handled` tells, and the call is made again. */
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <ucontext.h>
#include "arch/syscall.h"
#include "signal/everyone.h"
#include "signal/note.h"
#include "signal/route.h"
#include "signal/signal.h"

/* No mask that a fiber can have: SIGKILL cannot be blocked. */
#define ENDED_MASK (~0ull)
#define FAULTS                                                                                     \
    (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGILL) |          \
     SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGSYS))
/* Timers that count CPU time belong to who spends it, and failed writes to the writer. */
#define NOT_FOR_MAIN                                                                               \
    (SIGNAL_BIT(SIGPROF) | SIGNAL_BIT(SIGVTALRM) | SIGNAL_BIT(SIGPIPE) | SIGNAL_BIT(SIGXFSZ))

static char kick_mark, raised_mark;

enum arrival { FOR_PROCESS, DIRECTED, KICK };

/* Room in what the kernel keeps of a siginfo that has no meaning for signals which are sent: there a fiber
 * marks what it raises on itself, which is for nobody else, with which of its notes it is. */
static uint64_t *mark_of(siginfo_t *info)
{
    return (uint64_t *)((char *)info + 40);
}

static uint64_t mark(const struct note *n)
{
    return (uint64_t)(uintptr_t)&raised_mark << 32 | (uint32_t)n->sequence;
}

static bool was_raised(siginfo_t *info)
{
    return *mark_of(info) >> 32 == (uint32_t)(uintptr_t)&raised_mark;
}

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

static struct note *take(struct fiber *self, uint64_t set)
{
    if (!load_relaxed(&self->notes))
        return NULL;
    struct note *found = NULL, *all = note_take_all(&self->notes);
    for (struct note *n = all; n; n = n->next)
        if (n->tid == self->tid && (set & SIGNAL_BIT(n->info.si_signo)) &&
            (!found || goes_before(n, found)))
            found = n;
    uint64_t bit = found ? SIGNAL_BIT(found->info.si_signo) : 0;
    bool more = false;
    /* Before the others of its number are back: whoever sends one now sets the bit again. */
    atomic_fetch_and_explicit(&self->pending, ~bit, memory_order_relaxed);
    for (struct note *n = all, *next; n; n = next) {
        next = n->next;
        if (n->tid != self->tid) {
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
    struct note *n = take(self, set);
    if (!n)
        return false;
    *info = n->info;
    note_free(n);
    return true;
}

/* False: it is pending already, and ordinary signals do not queue. */
static bool note_for(struct fiber *f, struct note *n)
{
    int sig = n->info.si_signo;
    uint64_t bit = SIGNAL_BIT(sig);
    if ((atomic_fetch_or_explicit(&f->pending, bit, memory_order_relaxed) & bit) &&
        sig < SIGRTMIN) {
        note_free(n);
        return false;
    }
    n->tid = f->tid;
    note_push(&f->notes, n);
    atomic_fetch_or_explicit(&f->attention, ATTENTION_SIGNAL, memory_order_seq_cst);
    return true;
}

/* The kernel has let the signal through; in a handler it alone knows the mask. */
static bool deliverable(struct fiber *self, uint64_t bit)
{
    return !(self->sigmask & bit) || (load_relaxed(&self->attention) & ATTENTION_HANDLER);
}

bool signal_is_kick(const siginfo_t *info)
{
    return info->si_code == SI_QUEUE && info->si_value.sival_ptr == &kick_mark;
}

static void send_kick(uint32_t ktid, int sig)
{
    siginfo_t kick;
    memset(&kick, 0, sizeof kick);
    kick.si_signo = sig;
    kick.si_code = SI_QUEUE; /* what the kernel lets one thread say to another */
    kick.si_pid = (pid_t)sys_call(SYS_getpid);
    kick.si_value.sival_ptr = &kick_mark;
    sys_call(SYS_rt_tgsigqueueinfo, kick.si_pid, ktid, sig, &kick);
}

/* Inside the runtime, or where a lock may be taken. f is not the caller. */
static void post(struct fiber *f, struct note *n)
{
    int sig = n->info.si_signo;
    uint64_t bit = SIGNAL_BIT(sig);
    if (!note_for(f, n))
        return;
    sched_barrier(); /* partners: runtime_leave, fiber_park_interruptible, signal_set_mask, ended */
    if (unlikely(*(volatile uint64_t *)&f->sigmask == ENDED_MASK)) {
        n = note_take_all(&f->notes); /* too late; f may have taken some back itself */
        for (struct note *next; n; n = next) {
            next = n->next;
            signal_forward(load_acquire(&sched.workers), n);
        }
        return;
    }
    if (fiber_interrupt(NULL, f)) {
        monitor_kick(); /* the monitor sees to it that somebody runs f: we may be in a handler */
        return;
    }
    if (load_relaxed(&f->flags) & FIBER_BOUND) {
        send_kick(load_relaxed(&f->carrier)->ktid, sig); /* the kernel knows its mask */
        return;
    }
    struct worker *w = *(struct worker *volatile *)&f->worker;
    if (!w || load_relaxed(&w->cur) != f || load_relaxed(&w->in_runtime) ||
        (!everyone_takes(f, bit) && !(*(volatile uint64_t *)&f->sigwait & bit)))
        return;
    if (worker_hold(w, f)) {
        send_kick(w->ktid, sig);
        worker_let_go(w);
    }
}

/* Makes a signal that this kernel thread blocks pending for the process, as it was. */
static void give_back(siginfo_t *info)
{
    long pid = sys_call(SYS_getpid);
    /* Only the first kernel thread may say that the kernel or kill(2) sent it. */
    if (sys_call(SYS_rt_sigqueueinfo, pid, info->si_signo, info))
        sys_call(SYS_kill, pid, info->si_signo);
}

/* ---- choosing a thread ---- */

static struct fiber *main_takes(uint64_t bit)
{
    struct fiber *f = sched_main_fiber;
    return f &&
                   (!(load_relaxed(&f->flags) & FIBER_DIRECT) ||
                    load_relaxed(&f->flags) & FIBER_BOUND) &&
                   load_relaxed(&f->state) != FIBER_ENDED && everyone_takes(f, bit)
               ? f
               : NULL;
}

static struct fiber *choose(struct fiber *cur, uint64_t bit)
{
    if (bit & NOT_FOR_MAIN && cur && everyone_takes(cur, bit))
        return cur;
    struct fiber *f = main_takes(bit);
    if (!f && cur && everyone_takes(cur, bit))
        f = cur;
    return f ? f : everyone_find(bit);
}

/* cur: what the calling worker runs. Inside the runtime or on a scheduler stack. */
static void route(struct worker *w, struct fiber *cur, struct note *n)
{
    uint64_t bit = SIGNAL_BIT(n->info.si_signo);
    struct fiber *f = choose(cur, bit);
    n->process = true;
    if (f && f == cur) {
        note_for(f, n); /* it is about to look */
    } else if (f) {
        post(f, n);
    } else {
        /* Back to the process: kept there until somebody's mask lets it through. */
        siginfo_t info = n->info;
        note_free(n);
        w->sigmask |= bit;
        sys_call(SYS_rt_sigprocmask, SIG_BLOCK, &bit, NULL, 8);
        give_back(&info);
    }
}

bool signal_taken(uint64_t bit)
{
    return choose(NULL, bit);
}

bool signal_route(struct note *n)
{
    struct fiber *f = choose(NULL, SIGNAL_BIT(n->info.si_signo));
    n->process = true;
    if (f)
        post(f, n);
    return f;
}

static void drain(struct worker *w, struct fiber *cur)
{
    if (load_relaxed(&w->wake) & WAKE_SIGNAL)
        atomic_fetch_and_explicit(&w->wake, ~WAKE_SIGNAL, memory_order_relaxed);
    store_relaxed(&w->signals, 0);
    for (struct note *n = note_take_all(&w->notes), *next; n; n = next) {
        next = n->next;
        route(w, cur, n);
    }
}

/* ---- on the fiber ---- */

/* What is raised becomes a note that waits again. Async-signal-safe. */
static void again(struct fiber *self)
{
    struct note *n = xchg_acqrel(&self->raised, NULL);
    if (n)
        note_for(self, n);
}

/* Has come, or been taken from the kernel, while no handler may run. False: there is no room. */
static bool put_by(struct worker *w, struct fiber *self, const siginfo_t *info, bool directed)
{
    struct note *n = note_make(info);
    if (n && directed)
        note_for(self, n);
    else if (n)
        note_push(&w->notes, n);
    if (!directed)
        store_relaxed(&w->signals, 1);
    return n || directed;
}

/* Looks for what is raised among what is pending for this kernel thread. False: it is not, or no more. */
static bool take_back(struct fiber *self)
{
    struct note *n = load_relaxed(&self->raised);
    int sig = n->info.si_signo;
    uint64_t bit = SIGNAL_BIT(sig), its = mark(n);
    struct timespec now = { 0 };
    siginfo_t info;
    while (sys_call(SYS_rt_sigtimedwait, &bit, &info, &now, 8) == sig) {
        if (*mark_of(&info) == its)
            return true;
        if (!signal_is_kick(&info) && !was_raised(&info) &&
            !put_by(self->worker, self, &info, info.si_code == SI_TKILL))
            give_back(&info);
    }
    return false;
}

/* In the handler of the monitor's signal, with everything blocked and something raised, before the fiber may
 * move. What is not
 * pending has a frame already, beneath, and will find that it is no longer awaited. */
static void not_raised(struct fiber *self)
{
    take_back(self);
    again(self);
}

/* A kick of this number may be pending for the kernel thread, which blocks it: in a handler. The kernel
 * keeps one of a kind, so what we are about to raise would be lost in it. One may also come just before
 * we raise, from a thread that has left the note and not sent its kick yet; so a kick of the number that
 * is raised stands for it: the note waits again, and what was raised, if it comes too, is one more kick. */
static void take_kick(int sig)
{
    uint64_t bit = SIGNAL_BIT(sig);
    struct timespec now = { 0 };
    siginfo_t info;
    if (sig < SIGRTMIN && sys_call(SYS_rt_sigtimedwait, &bit, &info, &now, 8) == sig &&
        !signal_is_kick(&info) && info.si_code != SI_TKILL && !was_raised(&info))
        give_back(&info); /* for the process; one for us becomes one with what is raised now */
}

/* The kernel thread is the fiber's: its pending signals and its mask are too. */
static void deliver_direct(struct fiber *self)
{
    siginfo_t info;
    long pid = sys_call(SYS_getpid), ktid = sys_call(SYS_gettid);
    atomic_fetch_and_explicit(&self->attention, ~ATTENTION_SIGNAL, memory_order_seq_cst);
    /* No system call between the two: at its end another signal may run handlers here, out of turn. */
    while (signal_take(self, ~0ull, &info))
        sys_call(SYS_rt_tgsigqueueinfo, pid, ktid, info.si_signo, &info);
}

/* Whether what was raised before is still to come. If it went away without coming, the program ignores it
 * since, and the kernel has dropped it. */
static void settle(struct fiber *self)
{
    struct note *n = self->raised;
    bool there = take_back(self);
    if (!cas_acquire(&self->raised, &n, NULL))
        return; /* it has come */
    if (there)
        note_for(self, n);
    else
        note_free(n);
}

/* Raises what is next of the set. True: its handler has run. False: there is none, or it arrives when the
 * frame is gone that we are called from. */
static bool raise_next(struct fiber *self, uint64_t set)
{
    long pid = sys_call(SYS_getpid), r = 0;
    /* From here to the raise no system call: at its end other signals raise theirs, and run handlers. */
    while (unlikely(load_relaxed(&self->raised)))
        settle(self);
    atomic_fetch_and_explicit(&self->attention, ~ATTENTION_SIGNAL, memory_order_seq_cst);
    struct note *n = take(self, set);
    if (n) {
        siginfo_t info = n->info;
        *mark_of(&info) = mark(n);
        store_relaxed(&self->raised, n); /* no handler of the program's from here to that of n */
        take_kick(info.si_signo);
        /* The handler runs when this returns, if not everything is blocked here (monitor.c). */
        if (load_relaxed(&self->raised) == n)
            r = sys_call(SYS_rt_tgsigqueueinfo, pid, self->worker->ktid, info.si_signo, &info);
        if (r == -EAGAIN) { /* the kernel's queue is full */
            again(self);
            monitor_look_again(self->worker);
        } else if (!load_relaxed(&self->raised)) {
            return true;
        }
    }
    if (load_relaxed(&self->notes) && load_relaxed(&self->pending) & ~self->sigmask)
        atomic_fetch_or_explicit(&self->attention, ATTENTION_SIGNAL, memory_order_relaxed);
    return false;
}

void signal_deliver(struct fiber *self)
{
    if (load_relaxed(&self->flags) & FIBER_DIRECT)
        deliver_direct(self);
    else if (!self->temporary || !self->temporary->hold)
        while (raise_next(self, ~self->sigmask))
            ;
}

/* The same in the handler of the monitor's signal. What the frame that it interrupted blocks waits until
 * that has gone. */
static void deliver_over(struct fiber *self, const void *context)
{
    const ucontext_t *uc = context;
    uint64_t mask;
    memcpy(&mask, &uc->uc_sigmask, sizeof mask);
    raise_next(self, ~(self->sigmask | mask));
    if (load_relaxed(&self->attention) & ATTENTION_SIGNAL)
        monitor_look_again(self->worker);
}

/* The fiber runs no handler any more. What came to it for the process somebody else may take. */
static void ended(struct fiber *self)
{
    signal_set_mask(self, ~0ull);
    *(volatile uint64_t *)&self->sigmask = ENDED_MASK;
    fence_compiler(); /* partner: the barrier in post */
    again(self);      /* what is ignored since */
    for (struct note *n = note_take_all(&self->notes), *next; n; n = next) {
        next = n->next;
        signal_forward(self->worker, n); /* with everything blocked here nothing moves the fiber */
    }
}

uint64_t signal_mask(struct fiber *self)
{
    if (load_relaxed(&self->attention) & ATTENTION_HANDLER)
        worker_read_mask(self);
    return self->sigmask;
}

void signal_set_mask(struct fiber *self, uint64_t mask)
{
    /* libc lets nobody block its own two, and the kernel two more. */
    mask &= ~(SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(32) | SIGNAL_BIT(33));
    uint64_t before = self->sigmask;
    self->sigmask = mask;
    if (load_relaxed(&self->flags) & FIBER_DIRECT) {
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
        return;
    }
    everyone_unblocked(mask);
    fence_compiler(); /* partner: the barrier in post */
    if (load_relaxed(&self->notes))
        atomic_fetch_or_explicit(&self->attention, ATTENTION_SIGNAL, memory_order_relaxed);
    worker_take_signals(self);
    if (mask & ~before)
        everyone_blocked();
}

bool restart_wait(struct fiber *self, bool restartable)
{
    uint8_t handled = self->handled;
    self->handled = 0;
    return !handled || (restartable && !(handled & HANDLED_EINTR));
}

/* ---- arrival ---- */

static uintptr_t text_start, text_end;

static int find_text(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + p->p_vaddr, here = (uintptr_t)find_text;
        if (p->p_type == PT_LOAD && here - start < p->p_memsz) {
            text_start = start;
            text_end = start + p->p_memsz;
            return 1;
        }
    }
    return 0;
}

/* libc's stub that handlers return to. A signal between our return and the end of the frame must not run a
 * handler, which would take what the frame blocks for the fiber's mask: the notes are those of the time
 * after. */
static uintptr_t sigreturn_stub;
#define STUB_SIZE 16

static void note_stub(uintptr_t here)
{
    if (here - text_start >= text_end - text_start)
        *(volatile uintptr_t *)&sigreturn_stub = here;
}

/* Where the program stood lets a handler run: see the top. */
static bool may_interrupt(const void *context)
{
    const ucontext_t *uc = context;
    const void *pc = arch_context_pc(uc);
    const struct fiber *self = fiber_self;
    if ((self && self->temporary && self->temporary->hold) ||
        (uintptr_t)pc - sigreturn_stub < STUB_SIZE)
        return false;
    return (uintptr_t)pc < text_start || (uintptr_t)pc >= text_end || arch_after_syscall(pc) ||
           pc == arch_stub_syscall || pc == arch_unless_call;
}

static uint64_t *context_mask(ucontext_t *uc)
{
    return (uint64_t *)&uc->uc_sigmask;
}

static struct worker *worker_of_thread(void)
{
    uintptr_t tp = arch_tp_get();
    for (struct worker *w = load_acquire(&sched.workers); w; w = w->all)
        if (w->tp == tp)
            return w;
    return NULL;
}

static void call(int sig, siginfo_t *info, void *context)
{
    int flags;
    signal_handler *handler = signal_handler_of(sig, &flags);
    if (handler)
        handler(sig, info, context);
}

/* From frame_open to here the kernel blocks what a frame of its own blocks, and the notes are those of the time
 * when that is gone. Handlers that ran meanwhile have noted what they found. */
static void frame_end(struct fiber *self, uint64_t mask, uint64_t kernel_mask, bool below)
{
    struct worker *w = self->worker;
    self->sigmask = mask;
    w->sigmask = kernel_mask;
    if (load_relaxed(&w->signals))
        worker_spoil_mask(w);
    self->frame_open = below;
}

/* A handler that ran meanwhile has ended the temporary mask. */
static uint64_t mask_after(struct fiber *self, const struct temporary *t, uint64_t mask)
{
    return t && self->temporary != t ? t->before : mask;
}

/* Runs the handler over the program's code. */
static void run_here(struct fiber *self, int sig, siginfo_t *info, ucontext_t *uc)
{
    int flags;
    signal_handler *handler = signal_handler_of(sig, &flags);
    if (!handler)
        return;
    uint64_t interrupted = *context_mask(uc), now;
    uintptr_t outer = self->handler_sp;
    bool below = self->frame_open;
    const struct temporary *temporary = self->temporary;
    if (temporary) { /* the handler returns to the mask before the call, which it ends */
        self->temporary = NULL;
        self->sigmask = temporary->before;
        if (!below)
            *context_mask(uc) = interrupted = temporary->before;
    } else if (!below && self->worker->sigmask == self->sigmask) {
        /* libc changes the mask without us, as in siglongjmp: the kernel knows better. */
        self->sigmask = interrupted;
    }
    uint64_t before = self->sigmask;
    self->frame_open = true;
    sys_call(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &now, 8);
    self->sigmask = self->worker->sigmask = now;
    if (!outer)
        self->outer_mask = before;
    self->handler_sp = (uintptr_t)__builtin_frame_address(0);
    atomic_fetch_or_explicit(&self->attention, ATTENTION_HANDLER, memory_order_relaxed);
    self->frame_open = false;
    /* What else the call let through, on top of this one as the kernel does. */
    while (temporary && load_relaxed(&self->notes) && raise_next(self, ~now))
        ;
    handler(sig, info, uc);
    /* Maybe on another worker. What the kernel sets at the end of this frame is recorded already. */
    uint64_t after = *context_mask(uc), rest = after != interrupted ? after : before;
    self->frame_open = true;
    self->sigmask = rest;
    self->worker->sigmask = after;
    everyone_unblocked(rest); /* the handler may have changed it */
    self->handler_sp = outer;
    if (!outer)
        atomic_fetch_and_explicit(&self->attention, ~ATTENTION_HANDLER, memory_order_relaxed);
    self->handled |= flags & SA_RESTART ? HANDLED_RESTART : HANDLED_EINTR;
    /* What this frame blocks comes when it is gone. Of the rest the handlers run now. */
    while (load_relaxed(&self->notes) && raise_next(self, ~rest))
        ;
    frame_end(self, rest, after, below);
}

/* Puts a signal off. Async-signal-safe, takes no lock. */
static void record(struct worker *w, struct fiber *self, siginfo_t *info, ucontext_t *uc,
                   enum arrival what, struct note *mine)
{
    int sig = info->si_signo, flags;
    if (signal_handler_of(sig, &flags) && (flags & (int)SA_RESETHAND))
        signal_reinstall(sig); /* the kernel thinks that it has run */
    if (mine) {
        note_for(self, mine);
    } else if (what != KICK && /* the note of a kick is with the fiber, or on its way out already */
               !put_by(w, self, info, self && what == DIRECTED)) {
        w->sigmask |= SIGNAL_BIT(sig);
        *context_mask(uc) |= SIGNAL_BIT(sig);
        give_back(info); /* the kernel has more room */
        return;
    }
    store_relaxed(&w->signals, 1);
    worker_spoil_mask(w);
    if (self && !load_relaxed(&w->in_runtime))
        monitor_look_again(w);
    if (!self) {
        atomic_fetch_or_explicit(&w->wake, WAKE_SIGNAL, memory_order_release);
        sched_poller->wake(w);
    }
}

/* The program's code was interrupted: by a signal that another fiber should have (n), or while there
 * are older ones. */
static void pass_on(struct worker *w, struct fiber *self, struct note *n)
{
    uint64_t mask = self->sigmask, kernel_mask = w->sigmask, now;
    bool below = self->frame_open;
    const struct temporary *temporary = self->temporary;
    self->frame_open = true;
    store_relaxed(&w->in_runtime, 1); /* locks, but no proc */
    fence_compiler();
    if (n)
        route(w, self, n);
    drain(w, self);
    store_release(&w->in_runtime, 0);
    fence_compiler();
    /* Only what this frame lets through: the handler that is to run may take the fiber elsewhere. */
    if (load_relaxed(&self->notes)) {
        sys_call(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &now, 8);
        while (raise_next(self, ~now))
            ;
    }
    frame_end(self, mask_after(self, temporary, mask), kernel_mask, below);
    if (load_relaxed(&self->notes))
        atomic_fetch_or_explicit(&self->attention, ATTENTION_SIGNAL, memory_order_relaxed);
}

/* On a kernel thread that is one fiber's alone. */
static void arrived_direct(struct fiber *self, int sig, siginfo_t *info, ucontext_t *uc)
{
    uint32_t state = load_relaxed(&self->flags);
    int flags;
    siginfo_t real;
    bool kick = signal_is_kick(info);
    if (!(state & FIBER_VFORK) && load_relaxed(&self->inside) &&
        !((FAULTS & SIGNAL_BIT(sig)) && info->si_code > 0)) {
        struct note *n = kick ? NULL : note_make(info);
        if (n && signal_handler_of(sig, &flags) && (flags & (int)SA_RESETHAND))
            signal_reinstall(sig);
        if (n)
            note_for(self, n);
        if (n || kick) {
            atomic_fetch_or_explicit(&self->kernel_word, KERNEL_LOOK, memory_order_relaxed);
            return;
        }
    }
    if (kick) {
        if (!signal_take(self, SIGNAL_BIT(sig), &real))
            return; /* it was faster */
        info = &real;
    }
    signal_handler *handler = signal_handler_of(sig, &flags);
    if (!handler)
        return;
    if (self->temporary && !(state & FIBER_VFORK)) { /* as in run_here */
        *context_mask(uc) = self->sigmask = self->temporary->before;
        self->temporary = NULL;
    }
    handler(sig, info, uc);
    if (!(state & FIBER_VFORK))
        self->handled |= flags & SA_RESTART ? HANDLED_RESTART : HANDLED_EINTR;
}

/* *mine: the note that was raised. */
static enum arrival what_arrived(struct fiber *self, siginfo_t *info, struct note **mine)
{
    struct note *n = self ? load_relaxed(&self->raised) : NULL;
    if (was_raised(info)) {
        if (!n || *mark_of(info) != mark(n) || !cas_acquire(&self->raised, &n, NULL))
            return KICK; /* its note waits again */
        *mine = n;
        return DIRECTED;
    }
    bool kick = signal_is_kick(info);
    if (!kick && info->si_code != SI_TKILL)
        return FOR_PROCESS;
    /* The kernel may have kept this one in the place of what was raised: see take_kick. */
    if (n && n->info.si_signo == info->si_signo && info->si_signo < SIGRTMIN)
        again(self);
    return kick ? KICK : DIRECTED;
}

void signal_arrived(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    struct fiber *self = fiber_self;
    uint64_t bit = SIGNAL_BIT(sig);
    note_stub((uintptr_t)__builtin_return_address(0));
    if (self && load_relaxed(&self->flags) & FIBER_DIRECT) {
        arrived_direct(self, sig, info, uc);
        return;
    }
    if (self)
        self->disturbed = true; /* run_here tells whether it was for this fiber */
    struct worker *w = self ? self->worker : worker_of_thread();
    bool inside = w && (!self || load_relaxed(&w->in_runtime));
    if (!w || (inside && (FAULTS & bit) && info->si_code > 0)) {
        call(sig, info, context);
        return;
    }
    if ((FAULTS & bit) && info->si_code > 0) {
        run_here(self, sig, info, uc);
        return;
    }
    struct note *mine = NULL;
    enum arrival what = what_arrived(self, info, &mine);
    if (inside || !may_interrupt(uc) || load_relaxed(&self->raised)) {
        record(w, self, info, uc, what, mine);
        return;
    }
    if (load_relaxed(&w->signals)) {
        pass_on(w, self, NULL);
        w = self->worker;
    }
    if (what == KICK) {
        /* Behind what was raised before, and is pending for this kernel thread: the order must be kept. */
        if (deliverable(self, bit) && load_relaxed(&self->notes)) {
            uint64_t mask = self->sigmask, kernel_mask = w->sigmask;
            const struct temporary *temporary = self->temporary;
            bool below = self->frame_open;
            self->frame_open = true;
            raise_next(self, ~mask | bit);
            frame_end(self, mask_after(self, temporary, mask), kernel_mask, below);
        }
        return;
    }
    if (mine) {
        *info = mine->info;
        note_free(mine);
    }
    struct fiber *main_fiber = main_takes(bit);
    struct note *n;
    if (what == FOR_PROCESS && !(bit & NOT_FOR_MAIN) && main_fiber && main_fiber != self &&
        (n = note_make(info)))
        pass_on(w, self, n);
    else
        run_here(self, sig, info, uc);
}

/* The kernel knows the thread and delivers to it. Its carrier stays while the lock is held. */
static int send_to_carrier(struct fiber *f, const siginfo_t *info)
{
    struct fiber *self = fiber_self;
    uint64_t all = ~0ull, mask;
    long r = 0, pid = sys_call(SYS_getpid);
    bool fiber = self && !(load_relaxed(&self->flags) & FIBER_DIRECT);
    if (f == self) {
        siginfo_t copy = *info;
        return (int)sys_call(SYS_rt_tgsigqueueinfo, pid, load_relaxed(&f->carrier)->ktid,
                             info->si_signo, &copy);
    }
    if (fiber)
        runtime_enter(self);
    else
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, 8);
    lock_acquire(&f->lock);
    uint32_t ktid = load_relaxed(&f->carrier)->ktid;
    if (f->ended)
        r = 0;
    else if (info->si_code == SI_TKILL)
        r = sys_call(SYS_tgkill, pid, ktid, info->si_signo);
    else
        r = sys_call(SYS_rt_tgsigqueueinfo, pid, ktid, info->si_signo, info);
    lock_release(&f->lock);
    if (fiber)
        runtime_leave(self);
    else
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
    return (int)r;
}

/* What the kernel counts itself comes on top: its own queues are mostly empty. */
static bool too_many(void)
{
    struct rlimit limit;
    return sys_call(SYS_prlimit64, 0, RLIMIT_SIGPENDING, NULL, &limit) == 0 &&
           note_count() >= limit.rlim_cur;
}

int signal_send(struct fiber *f, const siginfo_t *info)
{
    struct fiber *self = fiber_self;
    int sig = info->si_signo;
    uint64_t mask = 0, all = ~0ull;
    bool fiber = self && !(load_relaxed(&self->flags) & FIBER_DIRECT);
    if (load_relaxed(&f->flags) & FIBER_BOUND)
        return send_to_carrier(f, info);
    bool at_once = f == self && !(signal_mask(self) & SIGNAL_BIT(sig));
    if (at_once && info->si_code != SI_QUEUE) /* which the kernel's own signals may look like */
        return (int)sys_call(SYS_rt_tgsigqueueinfo, sys_call(SYS_getpid), self->worker->ktid, sig,
                             info);
    struct note *n = sig >= SIGRTMIN && too_many() ? NULL : note_make(info);
    if (!n)
        return -EAGAIN;
    if (f == self) {
        note_for(f, n);
        if (at_once)
            signal_deliver(self); /* else: when it is not blocked */
        return 0;
    }
    if (fiber)
        runtime_enter(self);
    else /* a handler must not meet our locks */
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, 8);
    post(f, n);
    sched_wake_one();
    if (fiber)
        runtime_leave(self);
    else
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
    return 0;
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
        note_for(self, n);
}

bool signal_process(struct fiber *self, const siginfo_t *info)
{
    uint64_t bit = SIGNAL_BIT(info->si_signo);
    struct worker *w = runtime_enter(self);
    struct note *n = choose(self, bit) ? note_make(info) : NULL;
    if (n) {
        route(w, self, n);
        sched_wake_one();
    }
    runtime_leave(self);
    return n;
}

void signal_after_fork(void)
{
    note_after_fork();
    everyone_after_fork();
}

__attribute__((constructor)) static void start(void)
{
    dl_iterate_phdr(find_text, NULL);
    sched_signal_ops = (struct sched_signal_ops){
        drain, signal_deliver, may_interrupt, everyone_blocks, everyone_unblocked,
        ended, not_raised,     deliver_over,  signal_sweep
    };
}
