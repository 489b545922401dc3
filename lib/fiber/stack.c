/* Stack slots of power-of-two sizes, carved from large reservations.
 *
 * Invariants: a slot is never unmapped (TCBs in it stay linked in ld.so's list, and a stale
 * pthread_t may be looked at), only given back to its class through the fiber that owns it. Slots
 * are aligned to their size minus one page: a slot's guard page then shares its page-table page
 * with the top of the neighbour below, which halves the page tables of a parked fiber with a
 * default stack. Guards are MADV_GUARD_INSTALL ranges (Linux 6.13), which need no VMA of their
 * own; elsewhere mprotect, whose limit is vm.max_map_count.
 *
 * Called by the creating thread, outside the runtime. */
#include "fiber/stack.h"

#include <errno.h>
#include <sys/mman.h>
#include "arch/syscall.h"
#include "base/atomic.h"
#include "base/lock.h"
#include "base/option.h"

#define PAGE               4096ul
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#define MIN_CLASS          14 /* 16 KiB */
/* Room for two nested signal frames at the low end, beyond what the program asked for. */
#define SIGNAL_ROOM (2 * 3632 + 4096)
/* Larger stacks have exactly the size that was asked for, and no such room. */
#define SMALL (64ul << 10)
/* All slots look alike to a cache that is indexed by low address bits: their hot lines would meet in
 * the same sets. Struct fiber and the stack start at one of these offsets. */
#define COLOURS     6u
#define COLOUR_STEP 64u
#define CHUNK_MIN   (64ul << 20)

static struct {
    struct lock lock;
    size_t head;
    _Atomic bool guard_install;
    int prot;
    struct {
        char *next, *end; /* the part of the newest reservation that is not carved yet */
    } chunk[STACK_CLASSES];
} pool = { .guard_install = true, .prot = PROT_READ | PROT_WRITE };

void stack_init(size_t head)
{
    pool.head = ALIGN_UP(head, CACHE_LINE);
}

char *stack_slot(const struct stack *s, const void *high)
{
    return (char *)ALIGN_DOWN((uintptr_t)high + PAGE, stack_slot_size(s)) - PAGE;
}

void stack_executable(void)
{
    pool.prot |= PROT_EXEC;
}

void stack_no_guard_install(void)
{
    store_relaxed(&pool.guard_install, false);
}

bool stack_guards_are_mapped(void)
{
    if (!load_relaxed(&pool.guard_install))
        return true;
    /* Known once there was a guard: make one. */
    char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool mapped = p == MAP_FAILED || madvise(p, PAGE, MADV_GUARD_INSTALL);
    if (p != MAP_FAILED)
        munmap(p, PAGE);
    return mapped;
}

int stack_class(size_t size, size_t guard)
{
    if (size > 1ul << (STACK_CLASSES - 1) || guard > 1ul << (STACK_CLASSES - 1))
        return -1;
    size_t need = size + ALIGN_UP(guard, PAGE) + pool.head + SIGNAL_ROOM + COLOURS * COLOUR_STEP;
    if (need > 1ul << (STACK_CLASSES - 1))
        return -1;
    int c = MIN_CLASS;
    while (1ul << c < need)
        c++;
    return c;
}

static char *reserve(size_t size, size_t align)
{
    char *p = mmap(NULL, size + align, pool.prot,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    /* Keep [aligned - PAGE, aligned - PAGE + size) and return the ends. */
    char *start = (char *)ALIGN_UP(p + PAGE, align) - PAGE;
    if (start > p)
        munmap(p, (size_t)(start - p));
    munmap(start + size, (size_t)(p + align - start));
    /* A huge page for a stack would commit 2 MiB; denied where not built in, which is as good. */
    madvise(start, size, MADV_NOHUGEPAGE);
    return start;
}

static char *carve(int c)
{
    size_t size = 1ul << c;
    lock_acquire(&pool.lock);
    if (pool.chunk[c].next == pool.chunk[c].end) {
        size_t want = size * 64 > CHUNK_MIN ? size * 64 : CHUNK_MIN;
        char *p = NULL;
        /* Smaller reservations when address space or overcommit accounting is tight. */
        for (; want >= size && !p; want /= 4)
            if ((p = reserve(want, size < 2ul << 20 ? 2ul << 20 : size)))
                break;
        if (!p) {
            lock_release(&pool.lock);
            return NULL;
        }
        pool.chunk[c].next = p;
        pool.chunk[c].end = p + ALIGN_DOWN(want, size);
    }
    char *slot = pool.chunk[c].next;
    pool.chunk[c].next += size;
    lock_release(&pool.lock);
    return slot;
}

static int guard_change(char *at, size_t len, bool install)
{
    if (!len)
        return 0;
    if (!install) {
        /* Whichever kind it is: the other call changes nothing. */
        madvise(at, len, MADV_GUARD_REMOVE);
        return mprotect(at, len, pool.prot) ? -ENOMEM : 0;
    }
    if (load_relaxed(&pool.guard_install)) {
        if (!madvise(at, len, MADV_GUARD_INSTALL))
            return 0;
        /* Older kernel, or a locked range (mlockall): page protection from now on. */
        store_relaxed(&pool.guard_install, false);
    }
    return mprotect(at, len, PROT_NONE) ? -ENOMEM : 0;
}

int stack_shape(struct stack *s, size_t guard, size_t size)
{
    guard = ALIGN_UP(guard, PAGE);
    if (s->user)
        return 0;
    char *low = stack_slot(s, s->top) + guard, *was = s->base - s->guard;
    if (size) {
        size_t room = size < SMALL ? SIGNAL_ROOM : 0;
        char *exact = (char *)ALIGN_DOWN((char *)ALIGN_UP(s->top, PAGE) - size - room, PAGE);
        if (exact > low)
            low = exact;
    }
    char *at = low - guard;
    if (low == s->base && guard == s->guard)
        return 0;
    if (at != was) {
        if (guard_change(was, s->guard, false))
            return -ENOMEM;
        s->guard = 0;
        if (was < at) /* what a larger stack has left there */
            madvise(was, (size_t)(at - was), MADV_DONTNEED);
        if (guard_change(at, guard, true))
            return -ENOMEM;
    } else if (guard > s->guard) {
        if (guard_change(at + s->guard, guard - s->guard, true))
            return -ENOMEM;
    } else if (guard_change(at + guard, s->guard - guard, false)) {
        return -ENOMEM;
    }
    s->guard = guard;
    s->base = low;
    return 0;
}

int stack_set_guard(struct stack *s, size_t guard)
{
    return stack_shape(s, guard, 0);
}

int stack_carve(struct stack *s, size_t size, size_t guard, uint32_t number)
{
    int c = stack_class(size, guard);
    bool fails = unlikely(options.debug_fail == FAIL_MEMORY) && number > 300;
    char *slot = c < 0 || fails ? NULL : carve(c);
    if (!slot)
        return -ENOMEM;
    *s = (struct stack){
        .base = slot,
        .top = slot + (1ul << c) - pool.head - number % COLOURS * COLOUR_STEP,
        .size_class = (uint8_t)c,
    };
    return 0;
}

int stack_make(struct stack *s, size_t size, size_t guard, uint32_t number)
{
    int err = stack_carve(s, size, guard, number);
    return err ? err : stack_set_guard(s, guard);
}

void stack_trim(struct stack *s, size_t keep)
{
    if (s->user)
        return;
    char *low = s->base, *high = (char *)ALIGN_DOWN(s->top - keep, PAGE);
    if (high > low)
        madvise(low, (size_t)(high - low), MADV_DONTNEED);
}
