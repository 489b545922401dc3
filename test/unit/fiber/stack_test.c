/* stack.c: the geometry of slots, guards that fault and stacks that do not, with both kinds of
 * guard, and that trimming gives memory back but leaves the runtime's part alone. */
#include "test/unit/common.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fiber/stack.h"

#define PAGE      4096ul
#define HEAD      5000ul /* not a multiple of anything */
#define HEAD_ROOM ALIGN_UP(HEAD, CACHE_LINE)

static void init(void)
{
    stack_init(HEAD);
}

TestSuite(stack, .init = init);

static struct stack make(size_t size, size_t guard)
{
    static uint32_t number;
    struct stack s;

    cr_assert_eq(stack_make(&s, size, guard, number++), 0);
    return s;
}

static char *slot_of(const struct stack *s)
{
    return stack_slot(s, s->top);
}

/* What becomes of somebody who writes there: 0, or the signal that ends it. */
static int touch(char *at)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would explain it at length */
        *(volatile char *)at = 1;
        _exit(0);
    }
    cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

#define assert_guarded(at)    cr_assert_eq(touch(at), SIGSEGV, "not guarded")
#define assert_accessible(at) cr_assert_eq(touch(at), 0, "guarded")

static void assert_geometry(const struct stack *s, size_t size, size_t guard)
{
    cr_assert_eq(stack_slot_size(s) & (stack_slot_size(s) - 1), 0);
    cr_assert_eq(stack_slot_size(s), 1ul << s->size_class);
    cr_assert_eq(s->guard, ALIGN_UP(guard, PAGE));
    cr_assert_eq(s->base, slot_of(s) + s->guard);
    cr_assert_leq(s->top, slot_of(s) + stack_slot_size(s) - HEAD_ROOM);
    cr_assert_gt(s->top, slot_of(s) + stack_slot_size(s) - HEAD_ROOM - PAGE);
    cr_assert_eq((uintptr_t)s->top % CACHE_LINE, 0);
    cr_assert_geq((size_t)(s->top - s->base), size);
    cr_assert_not(s->user);
    /* One page below alignment: see the head of stack.c. */
    cr_assert_eq(((uintptr_t)slot_of(s) + PAGE) % stack_slot_size(s), 0, "a slot of %zu at %p",
                 stack_slot_size(s), (void *)slot_of(s));
}

Test(stack, classes_are_the_smallest_that_serve)
{
    int last = 0;

    for (size_t size = 1; size < 1ul << 32; size += size / 3 + 1) {
        int c = stack_class(size, PAGE);

        cr_assert_geq(c, last, "not monotonic at %zu", size);
        cr_assert_geq(1ul << c, size + PAGE + HEAD);
        /* The runtime's own room beyond that is some pages. */
        if (c > 14)
            cr_assert_lt(1ul << (c - 1), size + PAGE + HEAD + 8 * PAGE);
        last = c;
    }
    cr_assert_eq(stack_class(1, 0), stack_class(0, 0));
    cr_assert_gt(stack_class(64 << 10, 512 << 10), stack_class(64 << 10, PAGE));
    cr_assert_gt(stack_class(8 << 20, PAGE), 23, "a guard and the head come on top of the size");
}

Test(stack, what_cannot_be_served_has_no_class)
{
    struct stack s;

    cr_assert_eq(stack_class(1ul << 40, PAGE), -1);
    cr_assert_eq(stack_class(SIZE_MAX, PAGE), -1);
    cr_assert_eq(stack_class(SIZE_MAX - 3 * PAGE, 0), -1);
    cr_assert_eq(stack_class(PAGE, 1ul << 40), -1);
    cr_assert_lt(stack_class(1ul << 32, PAGE), STACK_CLASSES);
    cr_assert_eq(stack_make(&s, 1ul << 40, PAGE, 0), -ENOMEM);
    cr_assert_eq(stack_class(PAGE, SIZE_MAX), -1);
    cr_assert_eq(stack_class(PAGE, SIZE_MAX - 2 * PAGE + 1), -1);
}

Test(stack, slots_have_the_geometry_that_was_asked_for)
{
    static const size_t sizes[] = { 1, 16 << 10, 60000, 64 << 10, 1 << 20, 8 << 20, 100 << 20 };
    static const size_t guards[] = { 0, 1, PAGE, 3 * PAGE, 64 << 10 };

    for (unsigned i = 0; i < COUNT_OF(sizes); i++)
        for (unsigned j = 0; j < COUNT_OF(guards); j++) {
            struct stack s = make(sizes[i], guards[j]);

            assert_geometry(&s, sizes[i], guards[j]);
            cr_assert_eq(s.size_class, stack_class(sizes[i], guards[j]));
        }
}

Test(stack, neighbours_do_not_meet_in_the_cache)
{
    uintptr_t seen = 0;

    for (uint32_t number = 0; number < 6; number++) {
        struct stack s;

        cr_assert_eq(stack_make(&s, 64 << 10, PAGE, number), 0);
        assert_geometry(&s, 64 << 10, PAGE);
        seen |= 1ul << ((uintptr_t)s.top % PAGE / CACHE_LINE);
    }
    cr_assert_eq(__builtin_popcountl(seen), 6, "six stacks start in %d different lines",
                 __builtin_popcountl(seen));
}

static int by_address(const void *a, const void *b)
{
    char *x = slot_of(a), *y = slot_of(b);

    return x < y ? -1 : x > y;
}

Test(stack, slots_do_not_overlap)
{
    enum { N = 6000 }; /* more than one reservation of the small class */
    struct stack *s = calloc(N, sizeof *s);
    uint32_t random = 5;

    for (int i = 0; i < N; i++) {
        size_t size = i % 64 ? 1 : 1ul << (15 + next_random(&random) % 10);

        s[i] = make(size, PAGE);
        assert_geometry(&s[i], size, PAGE);
    }
    qsort(s, N, sizeof *s, by_address);
    for (int i = 0; i + 1 < N; i++)
        cr_assert_leq(slot_of(&s[i]) + stack_slot_size(&s[i]), slot_of(&s[i + 1]));
    free(s);
}

static void *make_many(void *arg)
{
    struct stack *s = arg;

    for (int i = 0; i < 1000; i++)
        check(stack_make(&s[i], 1, 0, 0) == 0);
    return NULL;
}

Test(stack, threads_get_different_slots)
{
    struct stack *s = calloc(2000, sizeof *s);
    pthread_t a = spawn(make_many, s), b = spawn(make_many, s + 1000);

    pthread_join(a, NULL);
    pthread_join(b, NULL);
    assert_checks();
    qsort(s, 2000, sizeof *s, by_address);
    for (int i = 0; i + 1 < 2000; i++)
        cr_assert_lt(slot_of(&s[i]), slot_of(&s[i + 1]));
    free(s);
}

/* ---- guards ---- */

static void test_guard(void)
{
    struct stack s = make(64 << 10, 2 * PAGE), below = make(64 << 10, PAGE);

    assert_guarded(slot_of(&s));
    assert_guarded(slot_of(&s) + PAGE);
    assert_guarded(s.base - 1);
    assert_accessible(s.base);
    assert_accessible(s.top - 1);
    assert_accessible(slot_of(&s) + stack_slot_size(&s) - 1);
    assert_guarded(below.base - 1);
    assert_accessible(below.base);
}

static void test_resize(void)
{
    struct stack s = make(64 << 10, PAGE);

    s.base[0] = 42;
    s.base[2 * PAGE] = 43;
    cr_assert_eq(stack_set_guard(&s, PAGE), 0);
    cr_assert_eq(s.base[0], 42, "an unchanged guard is left alone");

    cr_assert_eq(stack_set_guard(&s, 2 * PAGE + 1), 0);
    assert_geometry(&s, 32 << 10, 3 * PAGE);
    assert_guarded(slot_of(&s));
    assert_guarded(slot_of(&s) + PAGE);
    assert_guarded(s.base - 1);
    assert_accessible(s.base);
    cr_assert_eq(s.base[0], 43, "the stack above the guard keeps its contents");

    cr_assert_eq(stack_set_guard(&s, PAGE), 0);
    assert_geometry(&s, 64 << 10, PAGE);
    assert_guarded(s.base - 1);
    assert_accessible(s.base);
    assert_accessible(s.base + PAGE);

    cr_assert_eq(stack_set_guard(&s, 0), 0);
    assert_geometry(&s, 64 << 10, 0);
    assert_accessible(slot_of(&s));
}

Test(stack, guards_fault)
{
    test_guard();
}

Test(stack, guards_fault_on_old_kernels)
{
    stack_no_guard_install();
    test_guard();
}

Test(stack, guards_change_size)
{
    test_resize();
}

Test(stack, guards_change_size_on_old_kernels)
{
    stack_no_guard_install();
    test_resize();
}

Test(stack, old_kernels_guards_survive_in_great_numbers)
{
    struct stack first;

    stack_no_guard_install();
    first = make(64 << 10, PAGE);
    for (int i = 0; i < 1000; i++)
        make(64 << 10, PAGE);
    assert_guarded(slot_of(&first));
}

Test(stack, the_programs_own_stack_is_not_guarded)
{
    static char own[16 * PAGE] __attribute__((aligned(4096)));
    struct stack s = make(1, 0);

    s.user = true;
    s.base = own;
    s.top = own + sizeof own;
    cr_assert_eq(stack_set_guard(&s, PAGE), 0);
    cr_assert_eq(s.base, own);
    cr_assert_eq(s.guard, 0);
    assert_accessible(own);
    assert_accessible(slot_of(&s));
}

/* ---- trimming ---- */

static size_t resident(char *from, char *to)
{
    static unsigned char pages[4096];
    size_t n = (size_t)(to - from) / PAGE, count = 0;

    cr_assert_leq(n, sizeof pages);
    cr_assert_eq(mincore(from, n * PAGE, pages), 0);
    for (size_t i = 0; i < n; i++)
        count += pages[i] & 1;
    return count;
}

static void test_trim(size_t keep)
{
    struct stack s = make(1 << 20, PAGE);
    char *end = slot_of(&s) + stack_slot_size(&s), *kept = (char *)ALIGN_DOWN(s.top - keep, PAGE);

    memset(s.base, 0x5a, (size_t)(end - s.base));
    cr_assert_eq(resident(s.base, end), (size_t)(end - s.base) / PAGE);
    stack_trim(&s, keep);
    cr_assert_eq(resident(s.base, kept), 0, "memory was not given back");
    for (char *p = s.top - keep; p < end; p++)
        cr_assert_eq(*p, 0x5a, "%td bytes from the top were lost", end - p);
    cr_assert_eq(s.base[0], 0);
    assert_guarded(s.base - 1);
}

Test(stack, trimming_gives_memory_back)
{
    test_trim(8192);
    test_trim(0);
    test_trim(100);
}

Test(stack, trimming_leaves_old_kernels_guards)
{
    stack_no_guard_install();
    test_trim(4096);
}

Test(stack, trimming_with_nothing_to_give_does_nothing)
{
    struct stack s = make(16 << 10, PAGE);
    size_t all = (size_t)(s.top - s.base);

    memset(s.base, 0x5a, all);
    stack_trim(&s, all);
    stack_trim(&s, all + 3 * PAGE); /* more than there is */
    for (size_t i = 0; i < all; i++)
        cr_assert_eq(s.base[i], 0x5a);
}
