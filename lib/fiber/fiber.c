/* Making, pooling and numbering fibers.
 *
 * Invariants: a struct fiber lives at the top of its slot, under its TLS, and is never unmapped;
 * its tid has a part that is unique to the slot, so no two live fibers share one. A pooled fiber
 * keeps its TCB (with the DTV that libc allocated) and is given a fresh life by fiber_make.
 *
 * fiber_make runs on the creating thread's stack outside the runtime, fiber_free on any stack:
 * usually that of the joiner, or the next context after a detached fiber's last switch. */
#include "fiber/fiber.h"

#include <string.h>
#include "arch/syscall.h"
#include "libc/tcb.h"

#define PID_MAX   4194304u /* the kernel's upper limit for real tids */
#define MAX_SLOTS (1u << 20)
/* libc's locks keep tids in 30 bits (FUTEX_TID_MASK), the numbers of CPU clocks in 29. */
#define TID_LIMIT      (1u << 29)
#define POOL_COMMITTED 1024u /* pooled stacks that keep their memory */
#define GENERATIONS    ((TID_LIMIT - PID_MAX) / MAX_SLOTS - 1)

__thread struct fiber *fiber_self __attribute__((tls_model("initial-exec")));

_Atomic uint64_t fiber_created;
_Atomic uint32_t fiber_live, fiber_most;
uint32_t fiber_flags, fiber_attention;

static struct {
    struct lock lock;
    struct fiber *free[STACK_CLASSES];
    _Atomic uint32_t pooled;
    uint32_t slots; /* ever made */
    uint32_t max;
    uint32_t
        first_generation; /* differs between processes: tids also name owners in shared memory */
    _Atomic size_t default_stack, default_guard;
} pool;

struct fiber *fiber_of(pthread_t thread)
{
    uintptr_t offset = (uintptr_t)&fiber_self - arch_tp_get();
    return *(struct fiber **)((uintptr_t)thread + offset);
}

void fiber_init(size_t default_stack, size_t default_guard, uint32_t max_fibers)
{
    pool.max = max_fibers < MAX_SLOTS ? max_fibers : MAX_SLOTS;
    pool.first_generation = (uint32_t)sys_call(SYS_getpid) % GENERATIONS;
    fiber_set_default_stack(default_stack, default_guard);
    stack_init(tcb_room() + ALIGN_UP(sizeof(struct fiber), CACHE_LINE));
}

void fiber_set_default_stack(size_t size, size_t guard)
{
    store_relaxed(&pool.default_stack, size);
    store_relaxed(&pool.default_guard, guard);
}

void fiber_default_stack(size_t *size, size_t *guard)
{
    *size = load_relaxed(&pool.default_stack);
    *guard = load_relaxed(&pool.default_guard);
}

/* Slot number to fiber, for tids that come back through system calls; address space only. */
static struct fiber *by_slot[MAX_SLOTS];

struct fiber *fiber_of_tid(uint32_t tid)
{
    struct fiber *f = fiber_tid_is_ours(tid) ? by_slot[(tid - PID_MAX) % MAX_SLOTS] : NULL;
    return f && f->tid == tid && load_relaxed(&f->state) != FIBER_FREE ? f : NULL;
}

struct fiber *fiber_after(uint32_t *slot)
{
    for (uint32_t last = *(volatile uint32_t *)&pool.slots; *slot < last;) {
        struct fiber *f = *(struct fiber *volatile *)&by_slot[++*slot];
        if (f)
            return f;
    }
    return NULL;
}

bool fiber_tid_is_ours(uint32_t tid)
{
    return tid > PID_MAX && tid < TID_LIMIT;
}

static void next_tid(struct fiber *f)
{
    uint32_t slot = (f->slot_tid - PID_MAX) % MAX_SLOTS;
    uint32_t generation = (f->slot_tid - PID_MAX) / MAX_SLOTS;
    f->tid = f->slot_tid = PID_MAX + (generation + 1) % GENERATIONS * MAX_SLOTS + slot;
}

static struct fiber *fresh(size_t size, size_t guard)
{
    struct stack s;
    lock_acquire(&pool.lock);
    uint32_t slot = pool.slots + 1;
    bool room = slot < MAX_SLOTS;
    if (room)
        pool.slots = slot;
    lock_release(&pool.lock);
    if (!room || stack_carve(&s, size, guard, slot))
        return NULL;
    struct fiber *f = (struct fiber *)s.top;
    uintptr_t tp = tcb_make(stack_slot(&s, s.top) + stack_slot_size(&s));
    if (!tp)
        return NULL; /* the slot is lost; so is libc's memory */
    f->tp = tp;
    f->tid = f->slot_tid = PID_MAX + pool.first_generation * MAX_SLOTS + slot;
    by_slot[slot] = f;
    f->stack = s;
    return f;
}

struct fiber *fiber_make(void *user, size_t size, size_t guard, void (*entry)(void))
{
    /* Live fibers count against the limit; pooled ones do not. */
    uint32_t live = add_relaxed(&fiber_live, 1) + 1;
    struct fiber *f = NULL;
    /* With a stack of the program's own the slot only holds TCB, TLS and struct fiber. */
    size_t slot_size = user ? 1 : size ? size : load_relaxed(&pool.default_stack);
    size_t slot_guard = user ? 0 : guard;
    int c = stack_class(slot_size, slot_guard);
    if (live > pool.max || c < 0)
        goto fail;

    if (pool.free[c]) { /* a hint, looked at again under the lock */
        lock_acquire(&pool.lock);
        if ((f = pool.free[c])) {
            pool.free[c] = f->next;
            atomic_fetch_sub_explicit(&pool.pooled, 1, memory_order_relaxed);
        }
        lock_release(&pool.lock);
    }
    if (f) {
        tcb_reset(f->tp);
        next_tid(f);
    } else if (!(f = fresh(slot_size, slot_guard))) {
        goto fail;
    }
    if (f->stack.user)
        f->stack.base = stack_slot(&f->stack, f); /* where it was without a guard */
    f->stack.user = false;
    f->stack.top = (char *)f;
    f->stack_size = user ? 0 : size;
    f->guard_pages = (uint32_t)(ALIGN_UP(slot_guard, 4096) / 4096);
    if (stack_shape(&f->stack, slot_guard, user ? 0 : size)) {
        fiber_free(f);
        return NULL;
    }
    if (user) {
        f->stack.user = true;
        f->stack.base = user;
        f->stack.top = (char *)user + size;
    }
    tcb_describe(f->tp, f->stack.base - f->stack.guard,
                 (size_t)(f->stack.top - f->stack.base) + f->stack.guard, f->stack.guard, f->tid);
    *(struct fiber **)(f->tp + ((uintptr_t)&fiber_self - arch_tp_get())) = f;
    f->sp = arch_stack_init(f->stack.top, entry);
    f->worker = NULL;
    f->next = NULL;
    store_relaxed(&f->flags, fiber_flags);
    store_relaxed(&f->in_syscall, 0);
    store_relaxed(&f->attention,
                  (load_relaxed(&f->notes) ? ATTENTION_SIGNAL : 0) | fiber_attention);
    f->no_cancel = false;
    store_relaxed(&f->pending, 0);
    f->handler_sp = 0;
    f->sigwait = 0;
    f->temporary = NULL;
    f->frame_open = false;
    f->raised = NULL;
    store_relaxed(&f->nopreempt, 0);
    f->yield_count = 0;
    f->detached = f->ended = f->exiting = f->c11 = f->apart = false;
    f->joiner = NULL;
    f->name[0] = 0;
    f->alt_sp = NULL;
    f->sigmask = 0;
    store_relaxed(&f->carrier, NULL);
    store_relaxed(&f->kernel_word, 0);
    store_relaxed(&f->inside, 0);
    store_relaxed(&f->cpu, 0);
    store_relaxed(&f->cpu_worker, NULL);
    lock_init(&f->lock);
    add_relaxed(&fiber_created, 1);
    uint32_t most = load_relaxed(&fiber_most);
    while (live > most && !atomic_compare_exchange_weak_explicit(
                              &fiber_most, &most, live, memory_order_relaxed, memory_order_relaxed))
        ;
    return f;
fail:
    atomic_fetch_sub_explicit(&fiber_live, 1, memory_order_relaxed);
    return NULL;
}

void fiber_stack_bounds(const struct fiber *f, char **low, size_t *size)
{
    char *high = f->stack.user ? f->stack.top : (char *)ALIGN_UP(f->stack.top, 4096);
    *size = f->stack_size ? f->stack_size : (size_t)(high - f->stack.base);
    *low = high - *size;
}

void fiber_free(struct fiber *f)
{
    store_relaxed(&f->state, FIBER_FREE);
    /* The pool keeps what a steady load reuses; beyond that the stacks' memory goes back. */
    if (load_relaxed(&pool.pooled) >= POOL_COMMITTED)
        stack_trim(&f->stack, 0);
    add_relaxed(&pool.pooled, 1);
    lock_acquire(&pool.lock);
    f->next = pool.free[f->stack.size_class];
    pool.free[f->stack.size_class] = f;
    lock_release(&pool.lock);
    atomic_fetch_sub_explicit(&fiber_live, 1, memory_order_relaxed);
}

void fiber_after_fork(struct fiber *self)
{
    lock_init(&pool.lock);
    /* The other threads' slots are lost to the child: their TCBs may be half made. */
    memset(pool.free, 0, sizeof pool.free);
    store_relaxed(&pool.pooled, 0);
    store_relaxed(&fiber_live, 1);
    lock_init(&self->lock);
}
