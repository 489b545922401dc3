/* mutex.c, by kernel threads as in the 1:1 mode: exclusion, the types, deadlines, and who is next. */
#include "test/unit/sync/common.h"
#include <errno.h>

TestSuite(mutex, .init = sync_init);

static struct mutex mutex;
static long counter; /* plain: what the lock protects */
static _Atomic long total;

static void *count_locked(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg + 1;

    for (int i = 0; i < ROUNDS(50000); i++) {
        int err;

        switch (next_random(&random) % 8) {
        case 0:
            err = mutex_trylock(&mutex);
            check(err == 0 || err == -EBUSY);
            break;
        case 1:
            err = mutex_lock_slow(&mutex, timer_now() + next_random(&random) % 50000);
            check(err == 0 || err == -ETIMEDOUT);
            break;
        default:
            check((err = mutex_lock(&mutex)) == 0);
        }
        if (err)
            continue;
        counter++;
        add_relaxed(&total, 1);
        if (next_random(&random) % 64 == 0)
            sched_yield();
        check(mutex_unlock(&mutex) == 0);
    }
    return NULL;
}

static void test_exclusion(int kind)
{
    mutex.kind = kind;
    run_threads(THREADS, count_locked);
    cr_assert_eq(counter, load_relaxed(&total));
    cr_assert_eq(mutex_trylock(&mutex), 0, "left locked");
    cr_assert_eq(queued(&mutex), 0);
}

Test(mutex, excludes)
{
    test_exclusion(PTHREAD_MUTEX_NORMAL);
}

Test(mutex, excludes_when_recursive)
{
    test_exclusion(PTHREAD_MUTEX_RECURSIVE);
}

Test(mutex, excludes_when_checking)
{
    test_exclusion(PTHREAD_MUTEX_ERRORCHECK);
}

Test(mutex, excludes_when_adaptive)
{
    test_exclusion(PTHREAD_MUTEX_ADAPTIVE_NP);
}

static void *expect_busy(void *arg)
{
    check(mutex_trylock(&mutex) == -EBUSY);
    check(mutex_lock_slow(&mutex, soon(1)) == -ETIMEDOUT);
    check(mutex_lock_slow(&mutex, 0) == -ETIMEDOUT);
    if (arg)
        check(mutex_unlock(&mutex) == -EPERM);
    return NULL;
}

Test(mutex, recursive_ones_count)
{
    mutex.kind = PTHREAD_MUTEX_RECURSIVE;
    cr_assert_eq(mutex_unlock(&mutex), -EPERM);
    cr_assert_eq(mutex_lock(&mutex), 0);
    cr_assert_eq(mutex_lock(&mutex), 0);
    cr_assert_eq(mutex_trylock(&mutex), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(spawn(expect_busy, &mutex), NULL);
        cr_assert_eq(mutex_unlock(&mutex), 0);
    }
    assert_checks();
    cr_assert_eq(mutex_unlock(&mutex), -EPERM);
    cr_assert_eq(mutex_lock(&mutex), 0);
    mutex.count = UINT32_MAX;
    cr_assert_eq(mutex_lock(&mutex), -EAGAIN);
    cr_assert_eq(mutex_trylock(&mutex), -EAGAIN);
}

Test(mutex, checking_ones_check)
{
    mutex.kind = PTHREAD_MUTEX_ERRORCHECK;
    cr_assert_eq(mutex_unlock(&mutex), -EPERM);
    cr_assert_eq(mutex_lock(&mutex), 0);
    cr_assert_eq(mutex_lock(&mutex), -EDEADLK);
    cr_assert_eq(mutex_trylock(&mutex), -EBUSY);
    pthread_join(spawn(expect_busy, &mutex), NULL);
    assert_checks();
    cr_assert_eq(mutex_unlock(&mutex), 0);
    cr_assert_eq(mutex_unlock(&mutex), -EPERM);
}

Test(mutex, is_usable_after_a_deadline_passed)
{
    cr_assert_eq(mutex_lock(&mutex), 0);
    pthread_join(spawn(expect_busy, NULL), NULL);
    assert_checks();
    cr_assert_eq(queued(&mutex), 0);
    cr_assert_eq(mutex_unlock(&mutex), 0);
    cr_assert_eq(mutex_trylock(&mutex), 0);
    cr_assert_eq(mutex_unlock(&mutex), 0);
}

static _Atomic int turns;
static _Atomic bool release;

static void *lock_once(void *arg)
{
    check(mutex_lock(&mutex) == 0);
    check(add_seq(&turns, 1) == (int)(intptr_t)arg);
    wait_until(load_seq(&release));
    check(mutex_unlock(&mutex) == 0);
    return NULL;
}

/* Wakes the first waiter although the mutex is held, as if a newcomer had been faster. */
static void let_it_lose(void)
{
    int n = queued(&mutex);

    cr_assert_eq(waitq_wake(&mutex, 1, WAITQ_ANY), 1);
    wait_until(queued(&mutex) == n);
}

Test(mutex, who_lost_is_first_again)
{
    pthread_t threads[2];

    cr_assert_eq(mutex_lock(&mutex), 0);
    store_seq(&release, true);
    for (intptr_t i = 0; i < 2; i++) {
        threads[i] = spawn(lock_once, (void *)i);
        wait_until(queued(&mutex) == (int)i + 1);
    }
    let_it_lose();
    cr_assert_eq(mutex_unlock(&mutex), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_checks();
}

Test(mutex, is_handed_over_to_who_lost_twice)
{
    pthread_t thread;

    cr_assert_eq(mutex_lock(&mutex), 0);
    thread = spawn(lock_once, 0);
    wait_until(queued(&mutex) == 1);
    let_it_lose();
    let_it_lose();
    cr_assert_eq(mutex_unlock(&mutex), 0);
    /* Before the new owner can have run, nobody else gets it. */
    cr_assert_eq(mutex_trylock(&mutex), -EBUSY);
    store_seq(&release, true);
    pthread_join(thread, NULL);
    assert_checks();
    cr_assert_eq(mutex_trylock(&mutex), 0);
}
