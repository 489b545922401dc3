/* shared_rwlock.c, in the moments that need a process that has just been stopped: its steps are made by
 * hand, on the words of the lock. */
#include "test/unit/sync/common.h"
#include <errno.h>

TestSuite(shared_rwlock, .init = sync_init);

/* As in shared_rwlock.c. */
#define PHASE     1u
#define LOCKED    2u
#define READER    8u
#define HAND_OVER 0x80000000u

static struct rwlock rwlock = { .kind = PTHREAD_RWLOCK_PREFER_WRITER_NP, .shared = 1 };
static _Atomic bool may, got;

static void *write_when_it_may(void *arg)
{
    check(shared_rwlock_write(&rwlock, TIMER_NEVER) == 0);
    check(load_seq(&may));
    store_seq(&got, true);
    check(shared_rwlock_unlock(&rwlock) == 0);
    return arg;
}

static void *write_in_vain(void *arg)
{
    check(shared_rwlock_write(&rwlock, soon((uint64_t)(intptr_t)arg)) == -ETIMEDOUT);
    return NULL;
}

static void pause_ms(uint64_t ms)
{
    for (uint64_t end = soon(ms); timer_now() < end;)
        sched_yield();
}

/* The last step of the last reader, after it has changed the state. */
static void set_word(void)
{
    store_seq(&may, true);
    atomic_exchange(&rwlock.phase_futex, PHASE);
    shared_wake(&rwlock.phase_futex, INT32_MAX);
}

/* The primary writer gave the role to us and is gone; then the last reader changed the state. */
Test(shared_rwlock, a_writer_that_is_handed_the_role_waits_for_the_last_reader)
{
    store_seq(&rwlock.state, PHASE | LOCKED);
    store_seq(&rwlock.writers_waiting, HAND_OVER);
    pthread_t writer = spawn(write_when_it_may, NULL);
    wait_until(load_seq(&rwlock.writers_waiting) == 0);
    pause_ms(50);
    cr_assert_not(load_seq(&got));
    set_word();
    pthread_join(writer, NULL);
    assert_checks();
    cr_assert_eq(load_seq(&rwlock.state), PHASE); /* nobody has it */
}

/* We are the primary writer and wait for a reader, which leaves. */
Test(shared_rwlock, a_writer_waits_for_the_last_readers_last_step)
{
    cr_assert_eq(shared_rwlock_read(&rwlock, TIMER_NEVER), 0);
    pthread_t writer = spawn(write_when_it_may, NULL);
    wait_until(load_seq(&rwlock.state) & LOCKED);
    store_seq(&rwlock.state, PHASE | LOCKED);
    pause_ms(50);
    cr_assert_not(load_seq(&got));
    set_word();
    pthread_join(writer, NULL);
    assert_checks();
}

/* One of another process waits for the role: it must take it by itself. */
Test(shared_rwlock, a_writer_that_gives_up_leaves_the_role_free)
{
    cr_assert_eq(shared_rwlock_read(&rwlock, TIMER_NEVER), 0);
    store_seq(&rwlock.writers_waiting, 1);
    pthread_join(spawn(write_in_vain, (void *)50), NULL);
    assert_checks();
    cr_assert_eq(load_seq(&rwlock.writers_waiting), 1);
    cr_assert_eq(load_seq(&rwlock.writers_futex), 0);
    cr_assert_eq(load_seq(&rwlock.state), READER);
}

/* Another of our process then gets the lock. It may have come before the first, which then was not primary. */
Test(shared_rwlock, the_next_writer_follows_one_that_gave_up)
{
    cr_assert_eq(shared_rwlock_read(&rwlock, TIMER_NEVER), 0);
    pthread_t first = spawn(write_in_vain, (void *)100);
    pthread_t second = spawn(write_when_it_may, NULL);
    pthread_join(first, NULL);
    wait_until(load_seq(&rwlock.state) & LOCKED && load_seq(&rwlock.writers_waiting) == 0);
    cr_assert_not(load_seq(&got));
    store_seq(&may, true);
    cr_assert_eq(shared_rwlock_unlock(&rwlock), 0);
    pthread_join(second, NULL);
    cr_assert(load_seq(&got));
    assert_checks();
}
