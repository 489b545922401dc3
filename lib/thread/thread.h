/* The life of threads: activation of the runtime, pthread_create(3) to pthread_exit(3), fork.
 *
 * Functions return 0 or -errno. They apply to fibers; for threads that have a kernel thread of
 * their own (1:1 mode, foreign threads) they return -ENOTSUP and the shim asks libc. */
#ifndef THREAD_THREAD_H
#define THREAD_THREAD_H

#include "fiber/fiber.h"

enum runtime_mode {
    RUNTIME_DORMANT, /* nothing happened yet */
    RUNTIME_ACTIVE,  /* fibers */
    RUNTIME_DIRECT,  /* every thread is a kernel thread */
};
extern enum runtime_mode runtime_mode;
/* Why threads are kernel threads, once that is decided, or NULL. */
extern const char *runtime_direct_reason;

/* Adopts the calling thread as the main fiber; in the constructor. */
void runtime_init(void);

/* Turns the calling thread into a fiber on worker 0. After a failure the mode is DIRECT and one line
 * has told why. Blocks the kernel thread for some hundred us. */
void runtime_activate(void);

/* Called by it once it is known that there will be fibers, and before there is any other kernel
 * thread; set by the shim. */
extern void (*runtime_before_threads)(void);

/* In the child of a fork, on the calling fiber: dormant again, one thread. */
void runtime_after_fork(struct fiber *self);

/* pthread_create(3): -EAGAIN when limits, memory or address space run out, -EINVAL for a bad
 * attribute. The new fiber runs as soon as the caller waits, or on another proc. c11: start returns
 * int. */
int thread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg,
                  bool c11);

/* pthread_setattr_default_np was called; else what is used without attributes is known. */
extern _Atomic bool thread_defaults_changed;

/* pthread_join(3), pthread_clockjoin_np(3): waits until deadline (ns, TIMER_NEVER: for ever; 0:
 * pthread_tryjoin_np, -EBUSY). -EDEADLK, -EINVAL, -ETIMEDOUT as documented there. */
int thread_join(pthread_t thread, void **result, uint64_t deadline);
int thread_detach(pthread_t thread);

/* ---- bound fibers (bind.c) ---- */

/* Changes the kernel thread that a fiber has to itself; 0, positive, or -errno. */
typedef long thread_setter(uint32_t ktid, void *arg);
/* Has set(ktid, arg) done to the kernel thread of f, which is bound for it unless the result is what
 * every thread of the process has (always: even then). The fiber does not run on before that. Returns
 * what set does; -ESRCH: f has ended; -ENOMEM: no kernel thread to be had. */
long thread_apply(struct fiber *f, thread_setter *set, void *arg, bool always);
/* Binds f. apart: its children are to be made on its own kernel thread, which they take after in ways
 * that cannot be compared (namespaces, filters, capabilities). */
int thread_bind(struct fiber *f, bool apart);
/* f was given a name: binds it if RADDLE_BOUND says so. */
void thread_named(struct fiber *f, const char *name);
/* Has get done to the kernel thread of f, or if it has none to one like those that run it. */
long thread_ask(struct fiber *f, thread_setter *get, void *arg);

/* pthread_cancel(3). */
int thread_cancel(pthread_t thread);
/* Around libc's own pthread_cancel of a thread that is libc's: the first makes the signal that it sends
 * ours, the other ends a wait of ours that the thread is in. */
void thread_cancel_prepare(void);
void thread_cancelled(pthread_t thread);
/* At a cancellation point: does not return if the calling fiber is to end. NULL and threads that are
 * no fibers: nothing, libc looks after them. */
void cancel_point(struct fiber *self);
/* The same for a thread that is no fiber, before a wait that is ours on any thread. */
void cancel_point_kernel(void);
/* Whether cancel_point would not return; cheap. Fibers only. */
bool cancel_pending(struct fiber *self);
/* Around a call that libc makes for itself: a cancellation point only if libc has made the type
 * asynchronous for it. _begin returns what _end wants. */
bool cancel_inner_begin(struct fiber *self);
void cancel_inner_end(struct fiber *self, bool outer);
/* Cancellation was enabled again. */
void cancel_enabled(struct fiber *self);

/* The system call setuid(2) or one of its kin, made by every kernel thread. Blocks the kernel thread until
 * all have. 0 or what the kernel says to the caller; -ENOSYS: no usable /proc, nothing was done. */
long thread_set_ids(long number, long a, long b, long c);
void setid_start(void);
void setid_after_fork(void);

/* pthread_exit(3): unwinds the stack, running cleanup handlers and destructors. */
_Noreturn void thread_exit(void *result);

/* Runs main, and exit with what it returns, inside a frame that pthread_exit from the main thread
 * unwinds to. */
_Noreturn void thread_run_main(int (*main)(int, char **, char **), int argc, char **argv,
                               char **envp);

#endif
