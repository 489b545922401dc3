/* A fiber is one pthread of the program: a TCB, a stack, saved registers, and what joins it.
 *
 * States, and who owns the stack and the saved registers in each:
 *
 *   state      stack owner             in a queue?        left by
 *   FREE       pool                    free list          fiber_make
 *   RUNNABLE   nobody; registers saved one run queue      the worker that dequeues it
 *   RUNNING    the worker running it   no                 itself (park, yield, end)
 *   PARKED     nobody; registers saved a wait object      whoever takes it off the wait object
 *   ENDED      nobody; for the joiner  no                 join or detach
 *
 * "Registers saved" is what makes a fiber visible to others: between the decision to park and the
 * end of the switch it is still RUNNING for everybody else, because the lock that protects its wait
 * object is released by the next context (sched/sched.h, post-switch action).
 *
 * A kernel-thread fiber (FIBER_KERNEL) describes a thread that is not scheduled by us: the main
 * thread while the runtime is dormant, the child of a fork, a bound thread, or a foreign thread
 * that calls us. It parks by waiting on its own futex word and is made ready by waking that.
 *
 * A bound fiber (FIBER_BOUND, always with FIBER_KERNEL) is a fiber like any other that has got a
 * kernel thread of its own, its carrier, and stays on it until it ends (handoff/carrier.h). */
#ifndef FIBER_FIBER_H
#define FIBER_FIBER_H

#include <pthread.h>
#include "base/atomic.h"
#include "base/lock.h"
#include "fiber/stack.h"

enum fiber_state { FIBER_FREE, FIBER_RUNNABLE, FIBER_RUNNING, FIBER_PARKED, FIBER_ENDED };

/* What a parked fiber waits for; the names appear in statistics and dumps. */
#define PARK_REASONS(X)                                                                            \
    X(MUTEX, "mutex")                                                                              \
    X(COND, "cond")                                                                                \
    X(RWLOCK, "rwlock")                                                                            \
    X(SEM, "sem")                                                                                  \
    X(BARRIER, "barrier")                                                                          \
    X(ONCE, "once")                                                                                \
    X(FUTEX, "futex")                                                                              \
    X(JOIN, "join")                                                                                \
    X(SLEEP, "sleep")                                                                              \
    X(READ, "read")                                                                                \
    X(WRITE, "write")                                                                              \
    X(ACCEPT, "accept")                                                                            \
    X(CONNECT, "connect")                                                                          \
    X(POLL, "poll")                                                                                \
    X(SIGNAL, "signal")                                                                            \
    X(SYSCALL, "blocking call")
enum park_reason {
#define X(id, name) PARK_##id,
    PARK_REASONS(X)
#undef X
        PARK_REASON_COUNT
};

/* Waits that pthread_cancel(3) does not end: the functions are no cancellation points. */
#define PARK_NO_POINTS                                                                             \
    (1u << PARK_MUTEX | 1u << PARK_RWLOCK | 1u << PARK_BARRIER | 1u << PARK_ONCE | 1u << PARK_FUTEX)

#define FIBER_KERNEL  1u  /* parks on its futex word, see above */
#define FIBER_MAIN    2u  /* the process's first thread */
#define FIBER_FOREIGN 4u  /* a thread that somebody else made; its struct dies with it */
#define FIBER_BOUND   8u  /* a thread of ours on its own kernel thread, for good */
#define FIBER_VFORK   16u /* this memory is borrowed by a vfork child: every call goes to libc */
#define FIBER_CHAOS   32u /* calls look for trouble first: sched/chaos.c */
/* Calls of such a fiber go to libc and block the kernel thread. */
#define FIBER_DIRECT (FIBER_KERNEL | FIBER_VFORK)

struct worker;
struct note;
struct temporary;

/* Why a fiber looks up when it leaves the runtime or is about to park. */
#define ATTENTION_SIGNAL  1u  /* notes came */
#define ATTENTION_CANCEL  2u  /* pthread_cancel was called; cleared when it has been noticed */
#define ATTENTION_HANDLER 4u  /* a signal handler runs, or was left by longjmp: see handler_sp */
#define ATTENTION_PREEMPT 8u  /* its slice is over: sched/preempt.c */
#define ATTENTION_MOVE    16u /* it has a carrier and is to move there */
#define ATTENTION_ACCOUNT 32u /* its CPU time is counted: stays set (sched/account.c) */
#define ATTENTION_CHAOS   64u /* always set, or never: sched/chaos.c */

/* Bits of kernel_word. */
#define KERNEL_READY 1u /* the park is over */
#define KERNEL_LOOK  2u /* a signal came while it was inside the runtime */

/* Bit of nopreempt: in a call of libc's own, which may hold locks there. */
#define NOPREEMPT_LIBC 0x8000u

struct fiber {
    /* Switching: the first cache line. */
    void *sp;
    uintptr_t tp;
    struct worker *worker; /* set when it starts running; valid only for itself */
    struct fiber *next;    /* run queue, wake chain or free list: a fiber is in one at a time */
    _Atomic uint32_t flags;
    _Atomic uint32_t state;
    uint32_t tid;
    _Atomic uint32_t in_syscall; /* entered a call that may block the worker (handoff.h) */
    /* What the kernel keeps per thread and a worker changes when it resumes another fiber. */
    uint64_t sigmask;
    void *alt_sp; /* alternate signal stack; NULL: none */

    /* A park that may be ended early: what to call for that, see fiber_interrupt. */
    _Atomic(struct interruption *) interruption;
    const void *park_object;
    _Atomic uint32_t interrupted; /* the current park was ended by fiber_interrupt */
    _Atomic uint32_t attention;   /* ATTENTION_ bits */
    _Atomic uint32_t kernel_word; /* FIBER_KERNEL: KERNEL_ bits; parked while 0 */
    /* FIBER_KERNEL: between runtime_enter and runtime_leave; signal handlers wait. */
    _Atomic uint32_t inside;
    uint8_t park_reason;
    uint8_t handled; /* HANDLED_ bits (lib/signal): since its last park began */
    uint8_t yield_count;
    uint8_t served;  /* receives that did not have to wait: sched.h, fiber_served */
    bool no_cancel;  /* in a call of libc's own that is no cancellation point */
    bool frame_open; /* the kernel still blocks what a signal frame blocks: deliver.c */
    bool disturbed;  /* a signal came, for whomever: since it was cleared before a call */
    bool c11 : 1;    /* made by thrd_create: ends with an int */
    bool apart : 1;  /* bound: what it creates takes after its kernel thread */
    bool detached;   /* lib/thread; this and the next two: under lock */
    bool ended;      /* lib/thread */
    bool exiting;    /* lib/thread */
    _Atomic uint16_t nopreempt; /* depth of raddle_nopreempt_begin */
    uint32_t preempt_tick;      /* of the proc, when ATTENTION_PREEMPT was set */

    /* Life: lib/thread. lock protects ended, detached, joiner. */
    struct lock lock;
    void *(*start)(void *);
    union {
        void *arg;    /* until start is called */
        void *result; /* from its end on */
    };
    struct fiber *joiner;
    struct ceilings *ceilings; /* of mutexes that it holds: lib/sync; mostly NULL */
    uint32_t robust;           /* robust mutexes that it holds: lib/sync */
    uint32_t inherits;         /* mutexes with priority inheritance that it holds: lib/sync */

    /* The kernel thread of its own, NULL for most. Set under lock while not ended; FIBER_BOUND
     * follows when the fiber has moved there. */
    _Atomic(struct worker *) carrier;

    /* CPU time, ns: sched/account.c. While it counts, cpu_worker's clock since cpu_start is to be
     * added. */
    _Atomic uint64_t cpu, cpu_start;
    _Atomic(struct worker *) cpu_worker;
    _Atomic uint32_t cpu_changes;

    uint32_t slot_tid; /* tid as the slot gives it; a thread made bound has its kernel thread's */

    size_t alt_size;
    int alt_flags;

    /* Signals for this thread that no handler has seen yet: lib/signal. */
    _Atomic(struct note *) raised; /* on itself, and not arrived yet: see raise.c */
    _Atomic(struct note *) notes;
    _Atomic uint64_t pending; /* numbers that notes has, or will have in a moment */
    uint64_t sigwait;         /* what it waits for in sigtimedwait */
    uint64_t outer_mask;      /* with ATTENTION_HANDLER: the mask after the outermost handler */
    /* sigmask is that of a sigsuspend(2) or ppoll(2) under way; NULL: it is the fiber's own (lib/signal) */
    struct temporary *temporary;
    uintptr_t handler_sp; /* frame of the innermost running signal handler, 0: none */

    struct stack stack;
    size_t stack_size;    /* as asked for; 0: the default */
    uint32_t guard_pages; /* as asked for */
    char name[16];
};

/* Each further cache line costs one in six parked threads a page, those of ordinary depth. */
_Static_assert(sizeof(struct fiber) <= 6 * CACHE_LINE, "struct fiber grew by a cache line");

/* The calling thread's fiber; NULL on scheduler stacks and on threads not yet adopted. Lives in the
 * fiber's own static TLS, so it never changes during a fiber's life and compilers may cache it. */
extern __thread struct fiber *fiber_self __attribute__((tls_model("initial-exec")));

/* The fiber of a pthread_t (any live thread's); NULL for an unadopted foreign thread. */
struct fiber *fiber_of(pthread_t thread);

/* The fiber that has this tid, or NULL. Tids that are the kernel's (main, threads made bound) are
 * not looked up. */
struct fiber *fiber_of_tid(uint32_t tid);
/* The next fiber after *slot (0: the first), in whatever state, the main one excepted; NULL: no more. */
struct fiber *fiber_after(uint32_t *slot);
/* Whether a tid is one that fibers have; the kernel has none like it. */
bool fiber_tid_is_ours(uint32_t tid);

/* A new fiber with a stack of the given kind, state FREE, or NULL (no memory, address space or
 * RADDLE_MAX_THREADS reached). Takes libc locks: call outside the runtime.
 * size 0: the default stack. user != NULL: run on [user, user + size). */
struct fiber *fiber_make(void *user, size_t size, size_t guard, void (*entry)(void));
/* The stack as the program knows it: of the size that it asked for, or as large as it is. As with libc
 * the thread's own structures lie at its high end. */
void fiber_stack_bounds(const struct fiber *f, char **low, size_t *size);
/* Takes back a fiber that has ended and will not be looked at any more. */
void fiber_free(struct fiber *f);

/* Sets limits from options and attributes; call before the first fiber_make. */
void fiber_init(size_t default_stack, size_t default_guard, uint32_t max_fibers);
void fiber_set_default_stack(size_t size, size_t guard);
void fiber_default_stack(size_t *size, size_t *guard);

/* What fibers begin with. */
extern uint32_t fiber_flags, fiber_attention;

/* Statistics. */
extern _Atomic uint64_t fiber_created;
extern _Atomic uint32_t fiber_live, fiber_most;

/* After fork in the child: only the caller is left. */
void fiber_after_fork(struct fiber *self);

#endif
