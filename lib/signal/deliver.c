/* From the arrival of a signal to the program's handler.
 *
 * The kernel delivers to kernel threads, the program means threads of its own. What happens when a
 * signal arrives depends on what it interrupts:
 *
 *   the program's code on a fiber    the handler runs right there, with the mask that the kernel
 *                                    made for it recorded as the fiber's (it may park and migrate)
 *   the runtime, or a scheduler      it is noted in the worker (struct note), whose next fiber that
 *   stack                            leaves the runtime, or scheduler loop, chooses a fiber for it
 *                                    (route.c), which raises it on itself (raise.c)
 *   a kernel-thread fiber            the handler runs right there; if it is inside the runtime, a
 *   (bound, foreign, dormant main)   note is made, which ends its park, and the handler runs when it
 *                                    has left
 *
 * "The program's code" excludes our own text even outside the runtime: it may hold the address of its
 * worker in a register, and a handler may migrate. The exception is the end of a system call there.
 * A signal put off for that reason is delivered at the next way out, or by the monitor.
 *
 * What the kernel hands to whichever thread, and what the monitor sends, may end a system call of a
 * fiber that has nothing to do with it; `disturbed` without `handled` tells, and the call is made again.
 *
 * All of it runs in signal handlers, on whatever stack the kernel chose. */
#include <link.h>
#include <signal.h>
#include <ucontext.h>
#include "arch/syscall.h"
#include "signal/await.h"
#include "signal/everyone.h"
#include "signal/route.h"
#include "signal/signal.h"

enum arrival { FOR_PROCESS, DIRECTED, KICK };

/* The kernel has let the signal through; in a handler it alone knows the mask. */
static bool deliverable(struct fiber *self, uint64_t bit)
{
    return !(self->sigmask & bit) || (load_relaxed(&self->attention) & ATTENTION_HANDLER);
}

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
    signal_handler *handler = signal_claim(sig, &flags);
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
    if (!signal_has_handler(sig))
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
    everyone_unblocked(
        before); /* signal_set_mask may not have done so yet, and the handler may wait */
    self->frame_open = true;
    signal_handler *handler = signal_claim(sig, &flags);
    sys_call(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &now, 8);
    self->sigmask = self->worker->sigmask = now;
    if (!outer)
        self->outer_mask = before;
    self->handler_sp = (uintptr_t)__builtin_frame_address(0);
    atomic_fetch_or_explicit(&self->attention, ATTENTION_HANDLER, memory_order_relaxed);
    self->frame_open = false;
    /* What else the call let through, on top of this one as the kernel does. */
    while (temporary && load_relaxed(&self->notes) && signal_raise_next(self, ~now))
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
    while (load_relaxed(&self->notes) && signal_raise_next(self, ~rest))
        ;
    frame_end(self, rest, after, below);
}

/* Puts a signal off. Async-signal-safe, takes no lock. */
static void record(struct worker *w, struct fiber *self, siginfo_t *info, ucontext_t *uc,
                   enum arrival what, struct note *mine)
{
    int sig = info->si_signo;
    if (mine) {
        signal_keep(self, mine);
    } else if (what != KICK && /* the note of a kick is with the fiber, or on its way out already */
               !signal_put_by(w, self, info, self && what == DIRECTED)) {
        w->sigmask |= SIGNAL_BIT(sig);
        *context_mask(uc) |= SIGNAL_BIT(sig);
        signal_give_back(info); /* the kernel has more room */
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
        signal_hand_out(w, self, n);
    signal_drain(w, self);
    store_release(&w->in_runtime, 0);
    fence_compiler();
    /* Only what this frame lets through: the handler that is to run may take the fiber elsewhere. */
    if (load_relaxed(&self->notes)) {
        sys_call(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &now, 8);
        while (signal_raise_next(self, ~now))
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
        if (n)
            signal_keep(self, n);
        if (n || kick) {
            atomic_fetch_or_explicit(&self->kernel_word, KERNEL_LOOK, memory_order_relaxed);
            return;
        }
    }
    /* Older ones of its number wait: it is the last of them, and the first is handled now. */
    bool behind = !kick && !(state & FIBER_VFORK) &&
                  load_relaxed(&self->pending) & SIGNAL_BIT(sig) &&
                  !((FAULTS & SIGNAL_BIT(sig)) && info->si_code > 0);
    struct note *last = behind ? note_make(info) : NULL;
    if (last)
        signal_keep(self, last);
    if (kick || last) {
        if (!signal_take(self, SIGNAL_BIT(sig), &real))
            return; /* it was faster */
        info = &real;
        /* Before the handler: it may not come back. */
        if (load_relaxed(&self->pending))
            signal_deliver_direct(self);
    }
    signal_handler *handler = signal_claim(sig, &flags);
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
        if (!n || *mark_place(info) != mark_of(n) || !cas_acquire(&self->raised, &n, NULL))
            return KICK; /* its note waits again */
        *mine = n;
        return DIRECTED;
    }
    bool kick = signal_is_kick(info);
    if (!kick && info->si_code != SI_TKILL)
        return FOR_PROCESS;
    /* The kernel may have kept this one in the place of what was raised: see take_kick. */
    if (n && n->info.si_signo == info->si_signo && info->si_signo < SIGRTMIN)
        signal_again(self);
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
    if (unlikely(load_relaxed(&w->kicked) & bit) && what == KICK)
        atomic_fetch_and_explicit(&w->kicked, ~bit, memory_order_relaxed);
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
            signal_raise_next(self, ~mask | bit);
            frame_end(self, mask_after(self, temporary, mask), kernel_mask, below);
        }
        return;
    }
    if (mine) {
        *info = mine->info;
        note_free(mine);
    }
    struct fiber *main_fiber = signal_main_takes(bit);
    struct note *n;
    if (what == FOR_PROCESS && !(bit & NOT_FOR_MAIN) && main_fiber && main_fiber != self &&
        (n = note_make(info)))
        pass_on(w, self, n);
    else
        run_here(self, sig, info, uc);
}

void signal_after_fork(void)
{
    note_after_fork();
    signal_await_after_fork();
    everyone_after_fork();
}

__attribute__((constructor)) static void start(void)
{
    dl_iterate_phdr(find_text, NULL);
    sched_signal_ops = (struct sched_signal_ops){
        signal_drain, signal_deliver,    may_interrupt,       everyone_blocks, everyone_unblocked,
        signal_ended, signal_not_raised, signal_deliver_over, signal_sweep
    };
}
