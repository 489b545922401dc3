/* Creating threads, and the first and last frames of a fiber.
 *
 * Who runs what: thread_create on the creator's stack, outside the runtime (it takes libc locks);
 * entry on the new fiber. The bottom frame registers an unwind buffer with libc exactly as a cleanup
 * handler would, so libc's own pthread_exit and cancellation end in it after running the handlers
 * and destructors above. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "arch/syscall.h"
#include "base/option.h"
#include "handoff/carrier.h"
#include "libc/tcb.h"
#include "sched/sched.h"
#include "thread/internal.h"

/* libc's ABI of cleanup handlers (pthread.h keeps it for old compilers). */
extern void __pthread_register_cancel(__pthread_unwind_buf_t *buf);
_Noreturn extern void __pthread_unwind_next(__pthread_unwind_buf_t *buf);
/* The buffer begins with the part of a jmp_buf that is filled when no mask is saved. A whole one would
 * make every thread's stack 96 bytes deeper. */
extern int set_unwind_buf(__pthread_unwind_buf_t *buf, int save_mask) __asm__("__sigsetjmp")
    __attribute__((returns_twice, nothrow));

/* Unwinding was stopped here by pthread_exit or cancellation. */
static void unwound(struct fiber *self)
{
    if (!self->exiting)
        self->result = PTHREAD_CANCELED;
    store_relaxed(&self->in_syscall, 0); /* it may have been in one, or several */
}

/* The frame stays until the destructors have run: they may be left by pthread_exit or cancellation
 * too, and then the rest of them runs. */
static __attribute__((noinline)) void run_thread(struct fiber *self)
{
    __pthread_unwind_buf_t frame;
    if (set_unwind_buf(&frame, 0) == 0) {
        __pthread_register_cancel(&frame);
        void *result = self->start(self->arg);
        self->result = self->c11 ? (void *)(intptr_t)(int)(intptr_t)result : result;
    } else {
        unwound(fiber_self);
    }
    tcb_end();
}

static void entry(void)
{
    struct fiber *self = fiber_self;
    worker_run_post(self->worker);
    runtime_leave(self);
    if (unlikely(load_relaxed(&self->flags) & FIBER_BOUND))
        carrier_arrived(self);
    tcb_begin();
    run_thread(self);
    thread_finish(self);
}

_Atomic bool thread_defaults_changed;

static void read_affinity(const pthread_attr_t *attr, struct thread_attributes *a)
{
    uint64_t seen = ~0ull;
    if (pthread_attr_getaffinity_np(attr, sizeof a->affinity, (cpu_set_t *)a->affinity))
        return;
    for (size_t i = 0; i < sizeof a->affinity / sizeof *a->affinity; i++)
        seen &= a->affinity[i];
    a->has_affinity = ~seen != 0; /* libc says "all there could ever be" when none was set */
}

static void read_attributes(const pthread_attr_t *attr, struct thread_attributes *a)
{
    int value;
    size_t size;
    a->detached = a->explicit_policy = a->has_affinity = a->mask_given = false;
    a->stack = NULL;
    a->size = 0;
    fiber_default_stack(&size, &a->guard);
    if (!attr)
        return;
    pthread_attr_getdetachstate(attr, &value);
    a->detached = value == PTHREAD_CREATE_DETACHED;
    pthread_attr_getguardsize(attr, &a->guard);
    pthread_attr_getinheritsched(attr, &value);
    if ((a->explicit_policy = value == PTHREAD_EXPLICIT_SCHED)) {
        pthread_attr_getschedpolicy(attr, &a->policy);
        pthread_attr_getschedparam(attr, &a->param);
    }
    read_affinity(attr, a);
    sigset_t set;
    if (pthread_attr_getsigmask_np(attr, &set) == 0) {
        a->mask_given = true;
        memcpy(&a->mask, &set, sizeof a->mask);
    }
    /* libc computes the low end from a high end that is NULL unless the program set it. */
    void *low;
    pthread_attr_getstack(attr, &low, &a->size);
    if ((uintptr_t)low + a->size)
        a->stack = low;
    else if (a->size == size && !load_relaxed(&thread_defaults_changed))
        a->size = 0; /* what it would have had anyway */
}

/* A thread starts with its creator's signal mask. */
static uint64_t creator_mask(void)
{
    struct fiber *self = fiber_current();
    uint64_t mask = self->sigmask;
    if (load_relaxed(&self->flags) & FIBER_DIRECT || load_relaxed(&self->attention))
        sys_call(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
    return mask;
}

int thread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg,
                  bool c11)
{
    struct thread_attributes a;
    struct fiber *self = fiber_current();
    struct worker *carrier = NULL;
    read_attributes(attr, &a);
    bool inherit = unlikely(load_relaxed(&self->carrier)) && thread_inherits(self);
    if (unlikely(inherit || a.explicit_policy || a.has_affinity) &&
        (inherit || thread_wants_own(&a))) {
        int err;
        carrier = thread_carrier(&a, inherit, &err);
        if (err)
            return err;
    }
    struct fiber *f = fiber_make(a.stack, a.size, a.guard, entry);
    if (!f) {
        if (carrier)
            carrier_dismiss(carrier);
        return -EAGAIN;
    }
    f->start = start;
    f->arg = arg;
    f->c11 = c11;
    f->detached = a.detached;
    f->sigmask = a.mask_given ? a.mask : creator_mask();
    *thread = (pthread_t)f->tp; /* before the fiber can run: it may look at it */
    thread_count(1);
    memcpy(f->name, self->name, sizeof f->name);
    account_new(f);
    if (unlikely(carrier)) {
        /* Bound from the start: it can have its kernel thread's tid. */
        store_relaxed(&f->flags, FIBER_KERNEL | FIBER_BOUND);
        store_relaxed(&f->carrier, carrier);
        f->worker = carrier;
        f->apart = self->apart;
        f->tid = carrier->ktid;
        tcb_set_tid(f->tp, f->tid);
        carrier_run(carrier, f);
        return 0;
    }
    struct worker *w = runtime_enter(self);
    fiber_start(w, f);
    runtime_leave(self);
    return 0;
}

_Noreturn void thread_exit(void *result)
{
    struct fiber *self = fiber_self;
    if (self) {
        self->result = result;
        self->exiting = true;
    }
    libc_real.pthread_exit(result);
    __builtin_unreachable();
}

_Noreturn void thread_run_main(int (*main)(int, char **, char **), int argc, char **argv,
                               char **envp)
{
    __pthread_unwind_buf_t frame;
    if (set_unwind_buf(&frame, 0) == 0) {
        __pthread_register_cancel(&frame);
        /* Here and not after our return, so that pthread_exit in a handler of atexit's ends here. */
        exit(main(argc, argv, envp));
    }
    /* The main thread called pthread_exit, or was cancelled. */
    struct fiber *self = fiber_self;
    if (runtime_mode != RUNTIME_ACTIVE || !self)
        __pthread_unwind_next(&frame); /* libc ends its own threads */
    unwound(self);
    tcb_end_data();
    thread_finish(self);
}
