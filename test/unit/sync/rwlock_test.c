/* rwlock.c, by kernel threads as in the 1:1 mode: exclusion, sharing, preference, deadlines. */
#include "test/unit/sync/common.h"
#include <errno.h>

TestSuite(rwlock, .init = sync_init);

static long counter; /* plain: what the lock protects */
static _Atomic long total;
static _Atomic bool flag;
static struct rwlock rwlock;
static long left, right;

static void *read_and_write(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg + 1;

    for (int i = 0; i < ROUNDS(30000); i++) {
        uint32_t dice = next_random(&random);
        uint64_t deadline = dice >> 8 & 1 ? TIMER_NEVER : timer_now() + (dice >> 9) % 50000;
        int err;

        if (dice % 4 == 0) {
            if ((err = rwlock_write(&rwlock, deadline)) == 0) {
                left++;
                if (dice >> 26 == 0)
                    sched_yield();
                right++;
                add_relaxed(&total, 1);
            }
        } else if ((err = rwlock_read(&rwlock, deadline)) == 0) {
            check(left == right);
        }
        check(err == 0 || (err == -ETIMEDOUT && deadline != TIMER_NEVER));
        if (!err)
            check(rwlock_unlock(&rwlock) == 0);
    }
    return NULL;
}

static void test_rwlock(uint32_t kind)
{
    rwlock.kind = kind;
    run_threads(THREADS, read_and_write);
    cr_assert_eq(left, right);
    cr_assert_eq(left, load_relaxed(&total));
    cr_assert_eq(rwlock_try_write(&rwlock), 0, "left locked");
    cr_assert_eq(load_relaxed(&rwlock.writers_waiting), 0);
    cr_assert_eq(queued(&rwlock), 0);
}

Test(rwlock, excludes_when_it_prefers_readers)
{
    test_rwlock(PTHREAD_RWLOCK_PREFER_READER_NP);
}

Test(rwlock, excludes_when_it_prefers_writers)
{
    test_rwlock(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
}

static void *read_briefly(void *arg)
{
    check(rwlock_read(&rwlock, TIMER_NEVER) == 0);
    store_seq(&flag, true);
    check(rwlock_unlock(&rwlock) == 0);
    return arg;
}

static void *write_in_vain(void *arg)
{
    check(rwlock_write(&rwlock, soon((uint64_t)(intptr_t)arg)) == -ETIMEDOUT);
    return NULL;
}

static void *write_briefly(void *arg)
{
    check(rwlock_write(&rwlock, TIMER_NEVER) == 0);
    counter++;
    check(rwlock_unlock(&rwlock) == 0);
    return arg;
}

Test(rwlock, readers_share)
{
    cr_assert_eq(rwlock_read(&rwlock, TIMER_NEVER), 0);
    cr_assert_eq(rwlock_try_read(&rwlock), 0);
    pthread_join(spawn(read_briefly, NULL), NULL);
    cr_assert_eq(rwlock_try_write(&rwlock), -EBUSY);
    cr_assert_eq(rwlock_unlock(&rwlock), 0);
    cr_assert_eq(rwlock_try_write(&rwlock), -EBUSY);
    cr_assert_eq(rwlock_unlock(&rwlock), 0);
    cr_assert_eq(rwlock_try_write(&rwlock), 0);
    assert_checks();
}

Test(rwlock, a_writer_that_locks_again_is_told)
{
    cr_assert_eq(rwlock_write(&rwlock, TIMER_NEVER), 0);
    cr_assert_eq(rwlock_write(&rwlock, TIMER_NEVER), -EDEADLK);
    cr_assert_eq(rwlock_read(&rwlock, TIMER_NEVER), -EDEADLK);
    cr_assert_eq(rwlock_try_read(&rwlock), -EBUSY);
    cr_assert_eq(rwlock_unlock(&rwlock), 0);
    cr_assert_eq(rwlock_read(&rwlock, TIMER_NEVER), 0);
}

Test(rwlock, readers_pass_waiting_writers_by_default)
{
    pthread_t writer;

    cr_assert_eq(rwlock_read(&rwlock, TIMER_NEVER), 0);
    writer = spawn(write_briefly, NULL);
    wait_until(queued(&rwlock) == 1);
    cr_assert_eq(rwlock_try_read(&rwlock), 0);
    cr_assert_eq(rwlock_unlock(&rwlock), 0);
    cr_assert_eq(rwlock_unlock(&rwlock), 0);
    pthread_join(writer, NULL);
    assert_checks();
    cr_assert_eq(counter, 1);
}

Test(rwlock, readers_wait_for_waiting_writers_on_request)
{
    pthread_t writer, reader;

    rwlock.kind = PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP;
    cr_assert_eq(rwlock_read(&rwlock, TIMER_NEVER), 0);
    writer = spawn(write_briefly, NULL);
    wait_until(queued(&rwlock) == 1);
    cr_assert_eq(rwlock_try_read(&rwlock), -EBUSY);
    reader = spawn(read_briefly, NULL);
    wait_until(queued(&rwlock) == 2);
    cr_assert_not(load_seq(&flag));
    cr_assert_eq(rwlock_unlock(&rwlock), 0);
    pthread_join(writer, NULL);
    pthread_join(reader, NULL);
    assert_checks();
}

Test(rwlock, readers_go_on_when_the_writer_gives_up)
{
    pthread_t writer, reader;

    rwlock.kind = PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP;
    cr_assert_eq(rwlock_read(&rwlock, TIMER_NEVER), 0);
    writer = spawn(write_in_vain, (void *)200);
    wait_until(queued(&rwlock) == 1);
    reader = spawn(read_briefly, NULL);
    pthread_join(writer, NULL);
    pthread_join(reader, NULL); /* while we still hold it */
    cr_assert(load_seq(&flag));
    assert_checks();
}
