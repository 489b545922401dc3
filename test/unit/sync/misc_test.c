/* misc.c, by kernel threads as in the 1:1 mode: barriers, once-only initialisation, spin locks. */
#include "test/unit/sync/common.h"
#include <errno.h>

TestSuite(barrier, .init = sync_init);
TestSuite(once, .init = sync_init);
TestSuite(spin, .init = sync_init);

static long counter; /* plain: what the lock protects */
static _Atomic int turns;

/* ---- barrier ---- */

static struct barrier barrier = { .count = THREADS };
enum { PHASES = 5000 };
static _Atomic int arrived[PHASES], serial[PHASES];

static void *pass_barrier(void *arg)
{
    for (int i = 0; i < ROUNDS(PHASES); i++) {
        int last;

        add_seq(&arrived[i], 1);
        last = barrier_wait(&barrier);
        check(last == 0 || last == 1);
        add_seq(&serial[i], last);
        check(load_seq(&arrived[i]) == THREADS);
    }
    return arg;
}

Test(barrier, nobody_passes_early_and_one_is_told)
{
    run_threads(THREADS, pass_barrier);
    for (int i = 0; i < ROUNDS(PHASES); i++)
        cr_assert_eq(load_relaxed(&serial[i]), 1, "phase %d", i);
    cr_assert_eq(queued(&barrier), 0);
}

Test(barrier, of_one)
{
    struct barrier own = { .count = 1 };

    for (int i = 0; i < 3; i++)
        cr_assert_eq(barrier_wait(&own), 1);
    cr_assert_eq(load_relaxed(&waitq_bucket(&own)->count), 0);
}

/* ---- once ---- */

enum { CONTROLS = 3000 };
static _Atomic uint32_t controls[CONTROLS];
static int initialised[CONTROLS];
static __thread int current;

static void initialise(void)
{
    if (current % 8 == 0)
        sched_yield();
    initialised[current]++;
}

static void *call_once(void *arg)
{
    for (current = 0; current < ROUNDS(CONTROLS); current++) {
        check(once_run(&controls[current], initialise) == 0);
        check(initialised[current] == 1);
    }
    return arg;
}

Test(once, runs_once_and_is_done_for_everybody)
{
    run_threads(THREADS, call_once);
}

static void leave_at_first(void)
{
    if (add_seq(&turns, 1) == 0) {
        wait_until(queued(&controls[0]) == THREADS - 1);
        pthread_exit(NULL);
    }
}

static void *call_leaver(void *arg)
{
    once_run(&controls[0], leave_at_first);
    return arg;
}

Test(once, who_leaves_it_lets_the_next_try)
{
    run_threads(THREADS, call_leaver);
    cr_assert_eq(load_relaxed(&turns), 2);
    cr_assert_eq(once_run(&controls[0], leave_at_first), 0);
    cr_assert_eq(load_relaxed(&turns), 2);
}

/* ---- spin lock ---- */

static _Atomic int spin = 1;

static void *spin_and_count(void *arg)
{
    for (int i = 0; i < ROUNDS(500000); i++) {
        if (i % 4 || spin_try(&spin))
            check(spin_acquire(&spin) == 0);
        counter++;
        if (i % 64 == 0)
            sched_yield();
        check(spin_release(&spin) == 0);
    }
    return arg;
}

Test(spin, excludes)
{
    run_threads(THREADS, spin_and_count);
    cr_assert_eq(counter, THREADS * ROUNDS(500000));
    cr_assert_eq(spin_try(&spin), 0);
    cr_assert_eq(spin_try(&spin), -EBUSY);
}
