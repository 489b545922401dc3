/* cond.c, by kernel threads as in the 1:1 mode: no signal is lost, the right number is woken, the
 * mutex is given up and taken again. */
#include "test/unit/sync/common.h"
#include <errno.h>
#include <limits.h>

TestSuite(cond, .init = sync_init);

static struct mutex mutex;

static struct cond cond;

/* 2 producers, 2 consumers, a buffer of 3. */
static int buffered;
static struct cond not_full, not_empty;
enum { GOODS = 20000 };

static void *trade(void *arg)
{
    bool produces = (intptr_t)arg % 2;
    struct cond *mine = produces ? &not_full : &not_empty;

    for (int i = 0; i < ROUNDS(GOODS); i++) {
        mutex_lock(&mutex);
        while (buffered == (produces ? 3 : 0))
            check(cond_wait(mine, &mutex, TIMER_NEVER) == 0);
        buffered += produces ? 1 : -1;
        check(buffered >= 0 && buffered <= 3);
        mutex_unlock(&mutex);
        /* Outside the mutex, which is allowed and harder. */
        cond_wake(produces ? &not_empty : &not_full, 1);
    }
    return NULL;
}

Test(cond, producers_and_consumers)
{
    run_threads(4, trade);
    cr_assert_eq(buffered, 0);
    cr_assert_eq(load_relaxed(&not_empty.waiters), 0);
    cr_assert_eq(load_relaxed(&not_full.waiters), 0);
}

Test(cond, nobody_waits)
{
    cr_assert_eq(cond_wake(&cond, 1), 0);
    cr_assert_eq(cond_wake(&cond, INT_MAX), 0);
    /* And nothing is remembered. */
    mutex_lock(&mutex);
    cr_assert_eq(cond_wait(&cond, &mutex, soon(2)), -ETIMEDOUT);
    cr_assert_eq(load_relaxed(&cond.waiters), 0);
}

static _Atomic int woken;

static void *wait_for_cond(void *arg)
{
    mutex_lock(&mutex);
    check(cond_wait(&cond, &mutex, arg ? soon(20) : TIMER_NEVER) == (arg ? -ETIMEDOUT : 0));
    add_seq(&woken, 1);
    check(mutex_trylock(&mutex) == -EBUSY);
    mutex_unlock(&mutex);
    return NULL;
}

Test(cond, one_or_all_are_woken)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        threads[i] = spawn(wait_for_cond, NULL);
    wait_until(load_relaxed(&cond.waiters) == THREADS);
    mutex_lock(&mutex);
    cr_assert_eq(cond_wake(&cond, 1), 0);
    cr_assert_eq(load_relaxed(&cond.waiters), THREADS - 1);
    mutex_unlock(&mutex);
    wait_until(load_seq(&woken) == 1);
    cr_assert_eq(load_relaxed(&cond.waiters), THREADS - 1);
    cond_wake(&cond, INT_MAX);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_checks();
    cr_assert_eq(load_relaxed(&cond.waiters), 0);
}

Test(cond, the_mutex_is_locked_again_after_the_deadline)
{
    pthread_join(spawn(wait_for_cond, &cond), NULL);
    assert_checks();
    cr_assert_eq(load_relaxed(&cond.waiters), 0);
    cr_assert_eq(mutex_trylock(&mutex), 0);
}

static void *lock_and_wake(void *arg)
{
    check(mutex_lock(&mutex) == 0);
    cond_wake(&cond, 1);
    check(mutex_unlock(&mutex) == 0);
    return arg;
}

Test(cond, a_recursive_mutex_is_given_up_altogether)
{
    pthread_t thread;

    mutex.kind = PTHREAD_MUTEX_RECURSIVE;
    for (int i = 0; i < 3; i++)
        mutex_lock(&mutex);
    thread = spawn(lock_and_wake, NULL);
    cr_assert_eq(cond_wait(&cond, &mutex, TIMER_NEVER), 0);
    pthread_join(thread, NULL);
    assert_checks();
    for (int i = 0; i < 3; i++)
        cr_assert_eq(mutex_unlock(&mutex), 0, "the depth was not restored");
    cr_assert_eq(mutex_unlock(&mutex), -EPERM);
}

Test(cond, needs_the_mutex)
{
    mutex.kind = PTHREAD_MUTEX_ERRORCHECK;
    cr_assert_eq(cond_wait(&cond, &mutex, TIMER_NEVER), -EPERM);
    cr_assert_eq(load_relaxed(&cond.waiters), 0);
    cr_assert_eq(queued(&cond), 0);
}
