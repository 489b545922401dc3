/* sem.c, by kernel threads as in the 1:1 mode: no token is lost or made up. */
#include "test/unit/sync/common.h"
#include <errno.h>
#include <limits.h>

TestSuite(sem, .init = sync_init);

static _Atomic long inside;
static struct sem sem;

static void *take_and_give(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg + 1;

    for (int i = 0; i < ROUNDS(30000); i++) {
        uint32_t dice = next_random(&random);
        int err = dice % 4 == 0 ? sem_take(&sem, timer_now() + (dice >> 8) % 50000)
                                : sem_take(&sem, TIMER_NEVER);

        if (err) {
            check(err == -ETIMEDOUT && dice % 4 == 0);
            continue;
        }
        check(add_seq(&inside, 1) < 2);
        if (dice >> 26 == 0)
            sched_yield();
        sub_seq(&inside, 1);
        check(sem_give(&sem) == 0);
    }
    return NULL;
}

Test(sem, holds_as_many_as_it_has)
{
    store_relaxed(&sem.data, 2);
    run_threads(THREADS, take_and_give);
    cr_assert_eq(load_relaxed(&sem.data), 2, "%lx", load_relaxed(&sem.data));
}

Test(sem, limits)
{
    cr_assert_eq(sem_try(&sem), -EAGAIN);
    cr_assert_eq(sem_take(&sem, soon(2)), -ETIMEDOUT);
    cr_assert_eq(load_relaxed(&sem.data), 0);
    cr_assert_eq(sem_give(&sem), 0);
    cr_assert_eq(sem_try(&sem), 0);
    store_relaxed(&sem.data, SEM_VALUE_MAX);
    cr_assert_eq(sem_give(&sem), -EOVERFLOW);
    cr_assert_eq(sem_take(&sem, TIMER_NEVER), 0);
    cr_assert_eq(load_relaxed(&sem.data), SEM_VALUE_MAX - 1);
}

static void *take_one(void *arg)
{
    check(sem_take(&sem, TIMER_NEVER) == 0);
    return arg;
}

Test(sem, a_post_wakes_the_only_waiter)
{
    pthread_t thread = spawn(take_one, NULL);

    wait_until(queued(&sem) == 1);
    cr_assert_eq(sem_give(&sem), 0);
    pthread_join(thread, NULL);
    assert_checks();
    cr_assert_eq(load_relaxed(&sem.data), 0);
}
