/* glibc.c: this libc is recognised; a thread control block that we made looks to libc like a fresh
 * thread's, code can run on it, and a second life finds nothing of the first. */
#include "test/unit/common.h"
#include <ctype.h>
#include <errno.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/arch.h"
#include "libc/tcb.h"

enum { STACK = 256 << 10 };

static __thread int initialised = 42;
static __thread char zeroed[300];
static __thread struct {
    long words[20];
} aligned __attribute__((aligned(64))) = { { 1, 2, 3 } };

/* Where the same variable of another thread is. */
#define of(tp, variable) (*(__typeof__(variable) *)((uintptr_t) & (variable)-arch_tp_get() + (tp)))

static char *slot;

static void init(void)
{
    const char *why = "";

    cr_assert_eq(tcb_find(&why), 0, "%s", why);
    cr_assert_eq(tcb_activate(&why), 0, "%s", why);
    slot = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(slot, MAP_FAILED);
}

TestSuite(tcb, .init = init, .disabled = SANITIZED);

static uintptr_t make(void)
{
    uintptr_t tp = tcb_make(slot + STACK);

    cr_assert_neq(tp, 0);
    tcb_describe(tp, slot, STACK - ALIGN_UP(tcb_room(), 4096), 4096, (uint32_t)gettid());
    return tp;
}

struct robust_head {
    void *next;
    long futex_offset;
    void *pending;
};

/* The kernel knows where ours is; in every thread it is at the same distance. */
static struct robust_head *robust(uintptr_t tp)
{
    struct robust_head *mine;
    size_t size;

    cr_assert_eq(syscall(SYS_get_robust_list, 0, &mine, &size), 0);
    cr_assert_eq(size, sizeof *mine);
    return (struct robust_head *)((uintptr_t)mine - arch_tp_get() + tp);
}

Test(tcb, libc_is_recognised_twice)
{
    const char *why = "";

    cr_assert_eq(tcb_activate(&why), 0, "%s", why);
    cr_assert_not_null(libc_real.pthread_create);
    cr_assert_not_null(libc_real.pthread_join);
    cr_assert_not_null(libc_real.pthread_detach);
    cr_assert_not_null(libc_real.pthread_exit);
}

Test(tcb, fits_into_the_room_it_announced)
{
    size_t room = tcb_room();
    uintptr_t tp;

    cr_assert_eq(room % 64, 0);
    memset(slot, 0x5a, STACK - room);
    tp = make();
    cr_assert_eq(tp % 64, 0);
    cr_assert(tp > (uintptr_t)slot + STACK - room && tp < (uintptr_t)slot + STACK);
    for (size_t i = 0; i < STACK - room; i++)
        cr_assert_eq(slot[i], 0x5a, "%zu bytes below its room were changed", STACK - room - i);
}

Test(tcb, points_at_itself)
{
    uintptr_t tp = make();
    uintptr_t *word = (uintptr_t *)tp, *mine = (uintptr_t *)arch_tp_get();

    cr_assert_eq(word[0], tp);
    cr_assert_eq(word[2], tp);
    cr_assert_neq(word[1], mine[1], "it shares our DTV");
    /* Stack protector canary and pointer guard are the process's. */
    cr_assert_eq(word[5], mine[5]);
    cr_assert_eq(word[6], mine[6]);
}

Test(tcb, holds_no_robust_mutex)
{
    uintptr_t tp = make();
    struct robust_head *head = robust(tp);

    cr_assert_eq(head->next, head);
    cr_assert_null(head->pending);
    cr_assert_eq(head->futex_offset, robust(arch_tp_get())->futex_offset);
}

Test(tcb, has_the_tid_it_was_given)
{
    uintptr_t tp = make();

    tcb_describe(tp, slot, STACK, 4096, 4711);
    cr_assert_eq(tcb_tid(tp), 4711);
    cr_assert_eq(tcb_tid(arch_tp_get()), (uint32_t)gettid());
}

Test(tcb, libc_knows_its_stack)
{
    uintptr_t tp = make();
    pthread_attr_t attr;
    size_t size;
    void *stack;

    cr_assert_eq(pthread_getattr_np((pthread_t)tp, &attr), 0);
    pthread_attr_getstack(&attr, &stack, &size);
    pthread_attr_destroy(&attr);
    cr_assert((char *)stack >= slot && (char *)stack <= slot + 4096);
    cr_assert_eq((char *)stack + size, slot + STACK - ALIGN_UP(tcb_room(), 4096));
}

static void assert_initial_image(uintptr_t tp)
{
    cr_assert_eq(of(tp, initialised), 42);
    for (size_t i = 0; i < sizeof zeroed; i++)
        cr_assert_eq(of(tp, zeroed)[i], 0);
    cr_assert_eq(of(tp, aligned).words[2], 3);
    cr_assert_eq(of(tp, aligned).words[19], 0);
    cr_assert_eq((uintptr_t)&of(tp, aligned) % 64, 0);
}

static void spoil(uintptr_t tp)
{
    of(tp, initialised) = 7;
    memset(of(tp, zeroed), 1, sizeof zeroed);
    memset(&of(tp, aligned), 1, sizeof aligned);
}

Test(tcb, starts_with_the_initial_image)
{
    uintptr_t tp;

    spoil(arch_tp_get());
    tp = make();
    assert_initial_image(tp);
    spoil(tp);
    of(arch_tp_get(), initialised) = 8;
    cr_assert_eq(of(tp, initialised), 7, "it shares our variable");
}

Test(tcb, a_reset_restores_it)
{
    uintptr_t tp = make();
    uintptr_t *word = (uintptr_t *)tp, dtv = word[1];

    spoil(tp);
    word[0] = word[2] = 1;
    robust(tp)->next = NULL;
    tcb_reset(tp);
    assert_initial_image(tp);
    cr_assert_eq(word[0], tp);
    cr_assert_eq(word[1], dtv, "libc allocated it once");
    cr_assert_eq(word[2], tp);
    cr_assert_eq(robust(tp)->next, robust(tp));
}

/* ---- running on it ---- */

static struct {
    uintptr_t main_tp, tp;
    void *main_sp, *sp;
    int errors, destroyed, lives;
    pthread_key_t key;
} life;

static void destroy(void *value)
{
    life.destroyed += value == &life;
}

/* No assertions here: they belong to the other thread control block. */
static void live(void)
{
    for (;;) {
        char *copy;

        tcb_begin();
        life.errors += pthread_self() != (pthread_t)life.tp;
        life.errors += gettid() != (pid_t)tcb_tid(life.tp);
        life.errors += initialised != 42 || zeroed[0] != 0;
        initialised = 7;
        life.errors += errno != 0;
        errno = 0;
        life.errors += close(-1) != -1 || errno != EBADF;
        life.errors += strtol("99999999999999999999", NULL, 10) == 0 || errno != ERANGE;
        life.errors += !isalpha('x') || toupper('x') != 'X';
        life.errors += (char *)&_res < slot || (char *)&_res >= slot + STACK;
        copy = malloc(100000);
        life.errors += !copy;
        free(copy);
        copy = strdup("text");
        life.errors += !copy || strcmp(copy, "text") != 0;
        free(copy);
        life.errors += pthread_getspecific(life.key) != NULL;
        life.errors += pthread_setspecific(life.key, &life) != 0;
        life.lives++;
        tcb_end();
        arch_switch(&life.sp, life.main_sp, life.main_tp);
    }
}

Test(tcb, code_runs_on_it_again_and_again)
{
    arch_init(false);
    cr_assert_eq(pthread_key_create(&life.key, destroy), 0);
    pthread_setspecific(life.key, &slot);
    life.main_tp = arch_tp_get();
    life.tp = make();
    for (int i = 1; i <= 3; i++) {
        errno = ENOTTY;
        life.sp = arch_stack_init(slot + STACK - ALIGN_UP(tcb_room(), 4096), live);
        arch_switch(&life.main_sp, life.sp, life.tp);
        cr_assert_eq(life.lives, i);
        cr_assert_eq(life.errors, 0, "life %d", i);
        cr_assert_eq(life.destroyed, i, "destructors of thread-specific data ran %d times",
                     life.destroyed);
        cr_assert_eq(errno, ENOTTY, "errno is shared");
        cr_assert_eq(pthread_getspecific(life.key), &slot);
        tcb_reset(life.tp);
        tcb_describe(life.tp, slot, STACK - ALIGN_UP(tcb_room(), 4096), 4096, (uint32_t)gettid());
    }
}

Test(tcb, a_kernel_thread_can_give_its_rseq_area_up)
{
    tcb_leave_rseq();
    /* glibc's sched_getcpu falls back to the system call. */
    cr_assert_geq(sched_getcpu(), 0);
}
