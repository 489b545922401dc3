/* The contract between raddle and the C library it runs under: how to make, start, end and reuse
 * a thread control block (TCB) with its static TLS. lib/libc/glibc.c is the only file that knows
 * the insides of a libc; everything it assumes is checked at run time, and when a check fails the
 * runtime stays with kernel threads (one warning).
 *
 * A TCB is addressed by the value that the thread pointer has while it is current ("tp"), which is
 * also the pthread_t of the thread. */
#ifndef LIBC_TCB_H
#define LIBC_TCB_H

#include <pthread.h>
#include "base/defs.h"

/* libc's own versions of functions that raddle exports, for the runtime's kernel threads and for
 * threads that must stay kernel threads. Filled by tcb_find(). */
struct libc_real {
    int (*pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    int (*pthread_join)(pthread_t, void **);
    int (*pthread_detach)(pthread_t);
    void (*pthread_exit)(void *);
    int (*pthread_cancel)(pthread_t);
    int (*pthread_setcancelstate)(int, int *);
};
extern struct libc_real libc_real;

/* Cheap look-up of everything needed; no thread is made, nothing is changed. Safe in a
 * constructor. Returns 0, or -errno with a constant reason in *why. */
int tcb_find(const char **why);

/* Makes one kernel thread, takes the image of a fresh struct pthread from it, and tests that the
 * pieces behave. Needs tcb_find() before. Returns 0, or -errno with a constant reason. May block
 * the calling kernel thread for about 100 us. */
int tcb_activate(const char **why);

/* Bytes that a TCB with its static TLS takes at the top of a stack slot, a multiple of 64. */
size_t tcb_room(void);

/* Makes a TCB in the tcb_room() zeroed bytes below top for a thread whose stack is
 * [stack, stack + size), and returns its tp, or 0 when libc has no memory. Call on the program's
 * side (it takes libc locks and may allocate), never while holding a lock of ours. */
uintptr_t tcb_make(void *top);

/* Makes a TCB whose thread has ended ready for another life. */
void tcb_reset(uintptr_t tp);

/* Tells libc where the stack of the thread is and what its kernel id looks like. */
void tcb_describe(uintptr_t tp, void *stack, size_t size, size_t guard, uint32_t tid);

/* On the thread itself: the first and the last thing that its entry function calls. tcb_end runs
 * C++ thread_local destructors, thread-specific data destructors (the program's code: may block
 * and migrate), releases robust mutexes and frees libc's per-thread memory. No malloc after it. */
void tcb_begin(void);
void tcb_end(void);

/* The part of tcb_end that pthread_exit from the main thread performs. */
void tcb_end_data(void);

/* In a fork's child. */
void tcb_after_fork(void);

/* On a kernel thread: take its rseq area away from the kernel, which would otherwise keep writing
 * one fiber's CPU number into another's TCB. */
void tcb_leave_rseq(void);

/* Takes the signal of the setuid family, and lets libc's own use of it reach all kernel threads
 * although fibers change the thread pointer (setxid.c). Set the hooks first; both are called from the
 * signal handler. One tells the TCB that the calling kernel thread itself has, the other whether the
 * signal was ours and is done with. */
extern uintptr_t (*tcb_kernel_thread)(void);
extern bool (*tcb_setxid_ours)(void);
void tcb_wrap_setxid(uintptr_t main_tp, size_t cancelhandling_offset);
/* The offset of cancelhandling in libc's thread structure; 0: not found. */
size_t tcb_cancelhandling(void);
/* The bits in it, as tcb_activate found them. */
#define CANCEL_DISABLED 1u
#define CANCEL_ASYNC    2u
#define CANCELING       4u
#define CANCELED        8u
#define EXITING         16u
#define TERMINATED      32u
/* Whether libc is sending its cancellation signal to the thread with this TCB. */
bool tcb_cancelling(uintptr_t tp);
/* Whether that thread is cancelled wherever it is: it has been, with the asynchronous type, enabled. */
bool tcb_cancelled_anywhere(uintptr_t tp);
/* Makes that a cancellation which the next cancellation point acts upon. */
void tcb_cancel(uintptr_t tp);

/* Text in which a thread may be stopped for an arbitrary time: not libc's, ld.so's, the vdso's and
 * ours (text.c). find: at activation, false if that could not be told; the others in signal handlers.
 * ours: this library's, stubs for libc's system calls included. */
bool libc_text_find(void);
bool libc_text_free(const void *pc);
bool libc_text_ours(const void *pc);

/* The kernel tid that libc has noted in the TCB. */
uint32_t tcb_tid(uintptr_t tp);
void tcb_set_tid(uintptr_t tp, uint32_t tid);

#endif
