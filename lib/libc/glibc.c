/* glibc's thread control block, made and ended outside of pthread_create.
 *
 * What we rely on, and how each point is checked before the first fiber exists:
 *   - ld.so exports the functions that allocate and initialise static TLS and the DTV, and libc the
 *     thread_db descriptors, which hold the offsets of struct pthread's fields (GLIBC_PRIVATE
 *     symbols: looked up, never linked);
 *   - a struct pthread is position-independent apart from the words that point into itself: one
 *     real thread is made on a stack of ours, its struct is copied as the template, and those words
 *     are noted for rebasing. Fields that no descriptor names (stack bounds, robust list) are found
 *     by the values that we passed in or that the kernel reports;
 *   - the three calls after the start routine's return address end a thread: decoded, and compared
 *     with the one of the three whose address is known.
 * When a point does not hold, activation fails with a reason and threads stay kernel threads.
 *
 * Every TCB that we make is linked into ld.so's list of user stacks, once and for ever, so that a
 * library with static TLS that is loaded later finds it. All other writers of that list are
 * pthread_create calls with a stack of the caller's, and the only such call is the one made here
 * before the first link; readers only follow next pointers.
 *
 * Runs on the creating fiber's stack (make, reset, describe) or the ending fiber's (begin, end);
 * never on a scheduler stack. */
#include "libc/tcb.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include "arch/syscall.h"
#include "base/atomic.h"
#include "base/list.h"
#include "base/lock.h"

#ifndef RSEQ_FLAG_UNREGISTER
#define RSEQ_FLAG_UNREGISTER 1
#endif
#define RSEQ_AREA_SIZE 32
#define MAX_SELF_WORDS 32
#define MAX_PTHREAD    8192
/* Besides the static TLS, which libc takes from the stack. */
#define PROBE_STACK (128 * 1024)

struct libc_real libc_real;

/* The head that the kernel and libc share (linux/futex.h). */
struct robust_head {
    void *next;
    long futex_offset;
    void *pending;
};

static struct {
    void *(*allocate_tls)(void *);
    void *(*allocate_tls_init)(void *, bool);
    void (*get_tls_static_info)(size_t *size, size_t *align);
    void (*call_tls_dtors)(void);
    void (*ctype_init)(void);
    void (*register_cancel)(void *);
    size_t resp_offset; /* of __resp from the thread pointer */
    struct list *stack_user;
    size_t pthread_size, list_offset, tid_offset, dtv_offset, cancel_offset;
    ptrdiff_t rseq_offset; /* 0: this libc has none */

    /* found by the probe thread */
    void (*end_calls[3])(void);
    size_t robust_offset, stack_offset, res_offset;
    bool stack_known, rebased_res;
    int nself;
    uint16_t self[MAX_SELF_WORDS]; /* offsets of words that point into the struct itself */
    unsigned char image[MAX_PTHREAD];
    uintptr_t image_tp;

    size_t tls_size, tls_align, room;
    struct lock list_lock;
} libc;

static void *private_symbol(const char *name)
{
    return dlvsym(RTLD_DEFAULT, name, "GLIBC_PRIVATE");
}

/* A thread_db descriptor: { bits, count, byte offset }. */
static bool field_offset(const char *name, size_t *offset)
{
    const uint32_t *d = private_symbol(name);
    if (!d)
        return false;
    *offset = d[2];
    return true;
}

int tcb_find(const char **why)
{
    libc_real.pthread_create = (__typeof__(libc_real.pthread_create))dlsym(RTLD_NEXT,
                                                                           "pthread_create");
    libc_real.pthread_join = (__typeof__(libc_real.pthread_join))dlsym(RTLD_NEXT, "pthread_join");
    libc_real.pthread_detach = (__typeof__(libc_real.pthread_detach))dlsym(RTLD_NEXT,
                                                                           "pthread_detach");
    libc_real.pthread_cancel = (__typeof__(libc_real.pthread_cancel))dlsym(RTLD_NEXT,
                                                                           "pthread_cancel");
    libc_real.pthread_setcancelstate = (__typeof__(libc_real.pthread_setcancelstate))dlsym(
        RTLD_NEXT, "pthread_setcancelstate");
    libc_real.pthread_exit = (__typeof__(libc_real.pthread_exit))dlsym(RTLD_NEXT, "pthread_exit");
    libc.allocate_tls = (__typeof__(libc.allocate_tls))private_symbol("_dl_allocate_tls");
    libc.allocate_tls_init = (__typeof__(libc.allocate_tls_init))private_symbol(
        "_dl_allocate_tls_init");
    libc.get_tls_static_info = (__typeof__(libc.get_tls_static_info))private_symbol(
        "_dl_get_tls_static_info");
    libc.call_tls_dtors = (__typeof__(libc.call_tls_dtors))private_symbol("__call_tls_dtors");
    libc.ctype_init = (__typeof__(libc.ctype_init))private_symbol("__ctype_init");

    *why = "libc does not export the functions that make thread-local storage";
    if (!libc_real.pthread_create || !libc_real.pthread_join || !libc_real.pthread_detach ||
        !libc_real.pthread_exit || !libc_real.pthread_cancel || !libc_real.pthread_setcancelstate ||
        !libc.allocate_tls || !libc.allocate_tls_init || !libc.get_tls_static_info ||
        !libc.call_tls_dtors || !libc.ctype_init)
        return -ENOSYS;

    *why = "libc does not describe the fields of its thread structure";
    size_t user;
    const uint32_t *size = private_symbol("_thread_db_sizeof_pthread");
    char *rtld_global = private_symbol("_rtld_global");
    if (!size || !rtld_global || !field_offset("_thread_db_pthread_list", &libc.list_offset) ||
        !field_offset("_thread_db_pthread_tid", &libc.tid_offset) ||
        !field_offset("_thread_db_pthread_dtvp", &libc.dtv_offset) ||
        !field_offset("_thread_db_pthread_cancelhandling", &libc.cancel_offset) ||
        !field_offset("_thread_db_rtld_global__dl_stack_user", &user))
        return -ENOSYS;
    libc.pthread_size = *size;
    libc.stack_user = (struct list *)(rtld_global + user);
    void *resp = private_symbol("__resp"); /* a TLS symbol: the address in this thread */
    if (!resp)
        return -ENOSYS;
    libc.resp_offset = (uintptr_t)resp - arch_tp_get();

    const ptrdiff_t *rseq = dlsym(RTLD_DEFAULT, "__rseq_offset");
    libc.rseq_offset = rseq ? *rseq : 0;
    libc.get_tls_static_info(&libc.tls_size, &libc.tls_align);
    *why = "libc's thread structure has an unexpected size";
    if (libc.pthread_size < 512 || libc.pthread_size > MAX_PTHREAD ||
        libc.tls_size < libc.pthread_size || libc.tls_size > 1 << 20 || libc.tls_align > 4096)
        return -ENOSYS;
    if (libc.tls_align < CACHE_LINE)
        libc.tls_align = CACHE_LINE;
    libc.room = ALIGN_UP(libc.tls_size, CACHE_LINE) + libc.tls_align;
    *why = "";
    return 0;
}

struct probe {
    const unsigned char *return_address;
    struct robust_head *robust;
    bool flags_known;
    _Atomic uint32_t step; /* 1: ready to be cancelled, 2: cancelled */
};

static void step_to(struct probe *p, uint32_t step)
{
    store_release(&p->step, step); /* partner: wait_for_step */
    sys_call(SYS_futex, &p->step, FUTEX_WAKE_PRIVATE, 1);
}

static void wait_for_step(struct probe *p, uint32_t step)
{
    while (load_acquire(&p->step) < step)
        sys_call(SYS_futex, &p->step, FUTEX_WAIT_PRIVATE, step - 1, NULL);
}

/* Start routine of the one thread that shows how libc sets up and ends a thread. */
__attribute__((noinline)) static void *probe_main(void *arg)
{
    struct probe *p = arg;
    size_t len;
    p->return_address = __builtin_return_address(0);
    sys_call(SYS_get_robust_list, 0, &p->robust, &len);
    memcpy(libc.image, (void *)arch_tp_get(), libc.pthread_size);
    libc.image_tp = arch_tp_get();
    char *res;
    memcpy(&res, (char *)arch_tp_get() + libc.resp_offset, sizeof res);
    libc.res_offset = (uintptr_t)res - arch_tp_get();
    /* The flags must change as lib/thread/cancel.c believes. */
    uint32_t *flags = (uint32_t *)(arch_tp_get() + libc.cancel_offset);
    p->flags_known = *flags == 0;
    libc_real.pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    p->flags_known &= *flags == (CANCEL_DISABLED | CANCEL_ASYNC);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
    step_to(p, 1);
    wait_for_step(p, 2);
    p->flags_known &= *flags == (CANCEL_DISABLED | CANCELING | CANCELED);
    return NULL;
}

static size_t probe_size(void)
{
    return ALIGN_UP(PROBE_STACK + libc.room, 4096);
}

/* The image was taken while the thread ran: rebase it, and find what no descriptor names. */
static int image_study(const struct probe *p, uintptr_t stack, const char **why)
{
    uintptr_t tp = libc.image_tp;
    uintptr_t *word = (uintptr_t *)libc.image;
    *why = "a libc thread does not look as expected";
    if (word[0] != tp || word[2] != tp)
        return -ENOSYS;
    for (size_t i = 0; i < libc.pthread_size / sizeof *word; i++) {
        if (word[i] >= tp && word[i] < tp + libc.pthread_size) {
            if (libc.nself == MAX_SELF_WORDS)
                return -ENOSYS;
            libc.self[libc.nself++] = (uint16_t)(i * sizeof *word);
            word[i] -= tp;
        }
        /* stackblock, stackblock_size and guardsize are neighbours */
        if (word[i] == stack && word[i + 1] == probe_size()) {
            libc.stack_offset = i * sizeof *word;
            libc.stack_known = true;
        }
    }
    if (libc.res_offset >= libc.pthread_size)
        return -ENOSYS;
    libc.robust_offset = (uintptr_t)p->robust - tp;
    if (!p->robust || libc.robust_offset + sizeof *p->robust > libc.pthread_size)
        return -ENOSYS;
    *why = "libc keeps the state of cancellation elsewhere than expected";
    if (!p->flags_known)
        return -ENOSYS;
    /* Start routine and cleanup chain belong to the probe; nothing of a thread's past may stay. */
    *why = "the end of libc's thread start routine could not be recognised";
    void *calls[3];
    if (arch_decode_calls(p->return_address, calls, 3) != 3 ||
        calls[0] != (void *)libc.call_tls_dtors)
        return -ENOSYS;
    for (int i = 0; i < 3; i++)
        libc.end_calls[i] = (void (*)(void))calls[i];
    return 0;
}

int tcb_activate(const char **why)
{
    if (libc.image_tp)
        return 0; /* again in a fork's child: the image is still good */
    struct probe p = { 0 };
    pthread_t thread;
    pthread_attr_t attr;
    *why = "no memory for the probe thread";
    void *stack = mmap(NULL, probe_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);
    if (stack == MAP_FAILED)
        return -ENOMEM;
    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, stack, probe_size());
    *why = "libc's pthread_create failed";
    int err = libc_real.pthread_create(&thread, &attr, probe_main, &p);
    pthread_attr_destroy(&attr);
    if (!err) {
        /* Whatever libc does only once for cancellation is done now: its signal handler is installed
         * before ours, and the unwinder is loaded on a stack that is large enough. By this thread, which
         * may be running a constructor and hold the loader's lock, a recursive one. */
        wait_for_step(&p, 1);
        libc_real.pthread_cancel(thread);
        step_to(&p, 2);
        err = libc_real.pthread_join(thread, NULL);
    }
    if (!err) {
        err = -image_study(&p, (uintptr_t)stack, why);
        /* The stack stays mapped: libc compares addresses with the image's stack bounds when they
         * cannot be corrected per thread, and they must not be another thread's. */
        if (libc.stack_known)
            munmap(stack, probe_size());
    } else {
        munmap(stack, probe_size());
    }
    if (err)
        libc.image_tp = 0;
    return -err;
}

size_t tcb_room(void)
{
    return libc.room;
}

static void image_apply(uintptr_t tp)
{
    void *dtv;
    struct list link;
    char *base = (char *)tp;
    memcpy(&dtv, base + libc.dtv_offset, sizeof dtv);
    memcpy(&link, base + libc.list_offset, sizeof link);
    memcpy(base, libc.image, libc.pthread_size);
    for (int i = 0; i < libc.nself; i++)
        *(uintptr_t *)(base + libc.self[i]) += tp;
    memcpy(base + libc.dtv_offset, &dtv, sizeof dtv);
    memcpy(base + libc.list_offset, &link, sizeof link);
    /* An empty robust list points at itself, whatever the probe's looked like. */
    struct robust_head *r = (struct robust_head *)(base + libc.robust_offset);
    r->next = r;
    r->pending = NULL;
    if (libc.rseq_offset)
        *(int32_t *)(base + libc.rseq_offset + 4) = -2; /* cpu_id: registration failed */
}

uintptr_t tcb_make(void *top)
{
    uintptr_t tp = ALIGN_DOWN((uintptr_t)top - libc.pthread_size, libc.tls_align);
    if (!libc.allocate_tls((void *)tp))
        return 0;
    image_apply(tp);
    struct list *node = (struct list *)(tp + libc.list_offset), *head = libc.stack_user;
    lock_acquire(&libc.list_lock);
    node->next = head->next;
    node->prev = head;
    head->next->prev = node;
    /* Readers hold libc's lock, not ours: they must find a whole node behind this pointer. */
    atomic_store_explicit((_Atomic(struct list *) *)&head->next, node, memory_order_release);
    lock_release(&libc.list_lock);
    return tp;
}

void tcb_reset(uintptr_t tp)
{
    /* dtv[-1] is the number of entries behind dtv[0], each { value, to_free }. */
    struct dtv_entry {
        uintptr_t value;
        void *to_free;
    } * dtv;
    memcpy(&dtv, (char *)tp + libc.dtv_offset, sizeof dtv);
    size_t n = dtv[-1].value;
    for (size_t i = 1; i <= n; i++)
        if (dtv[i].to_free)
            __builtin_free(dtv[i].to_free);
    memset(dtv, 0, (n + 1) * sizeof *dtv);
    image_apply(tp);
    libc.allocate_tls_init((void *)tp, false);
}

void tcb_describe(uintptr_t tp, void *stack, size_t size, size_t guard, uint32_t tid)
{
    *(uint32_t *)(tp + libc.tid_offset) = tid;
    if (libc.stack_known) {
        uintptr_t *word = (uintptr_t *)(tp + libc.stack_offset);
        word[0] = (uintptr_t)stack;
        word[1] = size;
        word[2] = guard;
        word[3] = guard; /* as reported */
    }
}

void tcb_begin(void)
{
    uintptr_t tp = arch_tp_get();
    *(uintptr_t *)(tp + libc.resp_offset) = tp + libc.res_offset;
    libc.ctype_init();
}

void tcb_end(void)
{
    for (int i = 0; i < 3; i++)
        libc.end_calls[i]();
}

void tcb_end_data(void)
{
    if (libc.end_calls[1])
        libc.end_calls[1]();
}

void tcb_after_fork(void)
{
    lock_init(&libc.list_lock);
}

void tcb_leave_rseq(void)
{
    if (!libc.rseq_offset)
        return;
    char *area = (char *)arch_tp_get() + libc.rseq_offset;
    sys_call(SYS_rseq, area, RSEQ_AREA_SIZE, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
    *(int32_t *)(area + 4) = -2;
}

bool tcb_cancelling(uintptr_t tp)
{
    /* Set before the signal is sent; the handler adds CANCELED. */
    uint32_t flags = load_relaxed((_Atomic uint32_t *)(tp + libc.cancel_offset));
    return (flags & (CANCELING | CANCELED)) == CANCELING;
}

bool tcb_cancelled_anywhere(uintptr_t tp)
{
    uint32_t flags = load_relaxed((_Atomic uint32_t *)(tp + libc.cancel_offset));
    return libc.cancel_offset && (flags & (CANCELED | CANCEL_ASYNC | CANCEL_DISABLED | EXITING |
                                           TERMINATED)) == (CANCELED | CANCEL_ASYNC);
}

void tcb_cancel(uintptr_t tp)
{
    atomic_fetch_or_explicit((_Atomic uint32_t *)(tp + libc.cancel_offset), CANCELED,
                             memory_order_relaxed);
}

size_t tcb_cancelhandling(void)
{
    return libc.cancel_offset;
}

uint32_t tcb_tid(uintptr_t tp)
{
    return *(uint32_t *)(tp + libc.tid_offset);
}

void tcb_set_tid(uintptr_t tp, uint32_t tid)
{
    *(uint32_t *)(tp + libc.tid_offset) = tid;
}
