/* waitq.c: waiting on an address, by kernel threads that the runtime adopts: what wakes whom, in
 * which order, what is moved, and that no wake-up is lost or counted twice. */
#include "test/unit/sync/common.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

TestSuite(waitq, .init = sync_init);

/* ---- waiters, each on a thread of its own ---- */

struct sleeper {
    pthread_t thread;
    _Atomic uint32_t *word;
    uint32_t bits;
    uint64_t deadline;
    int result;
    _Atomic int turn; /* the how-manieth to wake; 0: still asleep */
};

enum { SLEEPERS = 6 };
static struct sleeper sleepers[SLEEPERS];
static _Atomic int turns;

static void *sleep_on_word(void *arg)
{
    struct sleeper *s = arg;

    s->result = waitq_wait(s->word, 0, s->bits, s->deadline, PARK_FUTEX);
    store_seq(&s->turn, add_seq(&turns, 1) + 1);
    return NULL;
}

/* Returns when it is queued, so that the order is known, or when its deadline has passed. Of others the deadlines
 * may pass meanwhile. */
static struct sleeper *put_to_sleep(int i, _Atomic uint32_t *word, uint32_t bits, uint64_t deadline)
{
    int before = queued(word), returned = load_seq(&turns);

    sleepers[i] = (struct sleeper){ .word = word, .bits = bits, .deadline = deadline };
    sleepers[i].thread = spawn(sleep_on_word, &sleepers[i]);
    wait_until(queued(word) + load_seq(&turns) - returned == before + 1);
    return &sleepers[i];
}

static bool asleep(int i)
{
    return load_seq(&sleepers[i].turn) == 0;
}

static void assert_woken(int i, int result)
{
    pthread_join(sleepers[i].thread, NULL);
    cr_assert_eq(sleepers[i].result, result, "sleeper %d returned %d", i, sleepers[i].result);
}

static void assert_empty(const void *key)
{
    cr_assert_eq(queued(key), 0);
    cr_assert_eq(load_relaxed(&waitq_bucket(key)->count), 0);
}

static _Atomic uint32_t words[8192];
#define word (&words[0])

/* Another word whose waiters share word's bucket, or do not. */
static _Atomic uint32_t *other_word(bool same_bucket)
{
    for (size_t i = 1; i < COUNT_OF(words); i++)
        if ((waitq_bucket(&words[i]) == waitq_bucket(word)) == same_bucket)
            return &words[i];
    /* The table has fewer buckets than there are words here, but a hash may be unlucky. */
    static _Atomic uint32_t *more;
    for (size_t n = 1 << 20; (more = calloc(n, sizeof *more)); free(more))
        for (size_t i = 0; i < n; i++)
            if ((waitq_bucket(&more[i]) == waitq_bucket(word)) == same_bucket)
                return &more[i];
    return NULL;
}

Test(waitq, another_value_is_not_waited_for)
{
    store_relaxed(word, 1);
    cr_assert_eq(waitq_wait(word, 0, WAITQ_ANY, TIMER_NEVER, PARK_FUTEX), -EAGAIN);
    cr_assert_eq(waitq_wait(word, 2, WAITQ_ANY, TIMER_NEVER, PARK_FUTEX), -EAGAIN);
    assert_empty(word);
}

Test(waitq, nobody_to_wake)
{
    cr_assert_eq(waitq_wake(word, 1, WAITQ_ANY), 0);
    put_to_sleep(0, word, WAITQ_ANY, TIMER_NEVER);
    cr_assert_eq(waitq_wake(word, 0, WAITQ_ANY), 0);
    cr_assert_eq(waitq_wake(word, -1, WAITQ_ANY), 0);
    cr_assert_eq(waitq_wake(other_word(true), 1, WAITQ_ANY), 0, "the neighbour was woken");
    cr_assert_eq(waitq_wake(other_word(false), 1, WAITQ_ANY), 0);
    cr_assert(asleep(0));
    cr_assert_eq(waitq_wake(word, 1, WAITQ_ANY), 1);
    assert_woken(0, 0);
    assert_empty(word);
}

Test(waitq, deadlines_pass)
{
    uint64_t deadline = soon(5);

    cr_assert_eq(waitq_wait(word, 0, WAITQ_ANY, deadline, PARK_FUTEX), -ETIMEDOUT);
    cr_assert_geq(timer_now(), deadline);
    cr_assert_eq(waitq_wait(word, 0, WAITQ_ANY, 0, PARK_FUTEX), -ETIMEDOUT);
    assert_empty(word);
    cr_assert_eq(waitq_wake(word, 1, WAITQ_ANY), 0);
}

Test(waitq, a_passed_deadline_leaves_the_others_queued)
{
    put_to_sleep(0, word, WAITQ_ANY, TIMER_NEVER);
    put_to_sleep(1, word, WAITQ_ANY, soon(30));
    put_to_sleep(2, word, WAITQ_ANY, TIMER_NEVER);
    assert_woken(1, -ETIMEDOUT);
    cr_assert_eq(queued(word), 2);
    cr_assert_eq(waitq_wake(word, 10, WAITQ_ANY), 2);
    assert_woken(0, 0);
    assert_woken(2, 0);
}

Test(waitq, a_wake_before_the_deadline_wins)
{
    put_to_sleep(0, word, WAITQ_ANY, soon(3600 * 1000));
    cr_assert_eq(waitq_wake(word, 1, WAITQ_ANY), 1);
    assert_woken(0, 0);
}

Test(waitq, bits_must_have_one_in_common)
{
    for (int i = 0; i < 4; i++)
        put_to_sleep(i, word, 1u << i, TIMER_NEVER);
    cr_assert_eq(waitq_wake(word, 10, 16), 0);
    cr_assert_eq(waitq_wake(word, 10, 4), 1);
    assert_woken(2, 0);
    cr_assert(asleep(0) && asleep(1) && asleep(3));
    cr_assert_eq(waitq_wake(word, 1, 8 | 2), 1);
    assert_woken(1, 0); /* the older one */
    cr_assert_eq(waitq_wake(word, 10, WAITQ_ANY), 2);
    assert_woken(0, 0);
    assert_woken(3, 0);
}

Test(waitq, the_oldest_is_woken_first)
{
    for (int i = 0; i < SLEEPERS; i++)
        put_to_sleep(i, word, WAITQ_ANY, TIMER_NEVER);
    for (int i = 0; i < SLEEPERS; i++) {
        cr_assert_eq(waitq_wake(word, 1, WAITQ_ANY), 1);
        assert_woken(i, 0);
        cr_assert_eq(load_seq(&sleepers[i].turn), i + 1);
    }
}

Test(waitq, as_many_as_wanted_are_woken)
{
    for (int i = 0; i < SLEEPERS; i++)
        put_to_sleep(i, word, WAITQ_ANY, TIMER_NEVER);
    cr_assert_eq(waitq_wake(word, 4, WAITQ_ANY), 4);
    for (int i = 0; i < 4; i++)
        assert_woken(i, 0);
    cr_assert_eq(queued(word), 2);
    cr_assert(asleep(4) && asleep(5));
    cr_assert_eq(waitq_wake(word, INT32_MAX, WAITQ_ANY), 2);
    assert_woken(4, 0);
    assert_woken(5, 0);
    assert_empty(word);
}

/* ---- requeue ---- */

static void test_requeue(bool same_bucket)
{
    _Atomic uint32_t *to = other_word(same_bucket);

    for (int i = 0; i < 5; i++)
        put_to_sleep(i, word, WAITQ_ANY, TIMER_NEVER);
    cr_assert_eq(waitq_requeue(word, to, 1, 2, false, 0), 3);
    assert_woken(0, 0);
    cr_assert_eq(queued(word), 2);
    cr_assert_eq(queued(to), 2);
    cr_assert_eq(waitq_wake(to, 1, WAITQ_ANY), 1);
    assert_woken(1, 0);
    cr_assert_eq(waitq_wake(word, 1, WAITQ_ANY), 1);
    assert_woken(3, 0);
    cr_assert(asleep(2) && asleep(4));
    /* Everybody who is left, and there are fewer than asked for. */
    cr_assert_eq(waitq_requeue(word, to, 0, INT32_MAX, false, 0), 1);
    assert_empty(same_bucket ? to + 1 : word);
    cr_assert_eq(waitq_wake(to, INT32_MAX, WAITQ_ANY), 2);
    assert_woken(2, 0);
    assert_woken(4, 0);
    assert_empty(to);
    assert_empty(word);
}

Test(waitq, requeue_wakes_some_and_moves_some)
{
    test_requeue(false);
}

Test(waitq, requeue_within_a_bucket)
{
    test_requeue(true);
}

Test(waitq, requeue_checks_the_word)
{
    _Atomic uint32_t *to = other_word(false);

    put_to_sleep(0, word, WAITQ_ANY, TIMER_NEVER);
    store_relaxed(word, 1);
    cr_assert_eq(waitq_requeue(word, to, 1, 1, true, 0), -EAGAIN);
    cr_assert(asleep(0));
    cr_assert_eq(queued(word), 1);
    cr_assert_eq(queued(to), 0);
    cr_assert_eq(waitq_requeue(word, to, 0, 1, true, 1), 1);
    cr_assert_eq(queued(to), 1);
    cr_assert_eq(waitq_wake(to, 1, WAITQ_ANY), 1);
    assert_woken(0, 0);
}

Test(waitq, requeue_appends_in_order)
{
    _Atomic uint32_t *to = other_word(false);

    put_to_sleep(0, to, WAITQ_ANY, TIMER_NEVER);
    put_to_sleep(1, word, WAITQ_ANY, TIMER_NEVER);
    put_to_sleep(2, word, WAITQ_ANY, TIMER_NEVER);
    cr_assert_eq(waitq_requeue(word, to, 0, 2, false, 0), 2);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(waitq_wake(to, 1, WAITQ_ANY), 1);
        assert_woken(i, 0);
    }
}

Test(waitq, requeue_to_itself)
{
    put_to_sleep(0, word, WAITQ_ANY, TIMER_NEVER);
    put_to_sleep(1, word, WAITQ_ANY, TIMER_NEVER);
    cr_assert_eq(waitq_requeue(word, word, 1, 5, false, 0), 2);
    assert_woken(0, 0);
    cr_assert_eq(waitq_wake(word, 5, WAITQ_ANY), 1);
    assert_woken(1, 0);
    assert_empty(word);
}

Test(waitq, the_moved_still_have_their_deadlines)
{
    _Atomic uint32_t *to = other_word(false);

    /* On a busy machine it may be over before the sleeper is moved. */
    for (uint64_t ms = 50, moved = 0; !moved; ms *= 2) {
        put_to_sleep(0, word, WAITQ_ANY, soon(ms));
        moved = (uint64_t)waitq_requeue(word, to, 0, 1, false, 0);
        assert_woken(0, -ETIMEDOUT);
    }
    assert_empty(word);
    assert_empty(to);
}

/* ---- torture ---- */

enum { PINGS = 200000 };
static _Atomic bool over;

struct player {
    uint32_t mine; /* waits until the word is this, then makes it the next */
    pthread_t thread;
};

static void *play(void *arg)
{
    struct player *p = arg;

    for (uint32_t n = p->mine; n < ROUNDS(PINGS); n += 2) {
        uint32_t now;

        /* A lost wake-up shows as a wait that only its deadline ends. */
        while ((now = load_seq(word)) != n) {
            int err = waitq_wait(word, now, WAITQ_ANY, soon(30000), PARK_FUTEX);

            check(err == 0 || err == -EAGAIN);
            check(now < n);
            if (err == -ETIMEDOUT)
                return NULL;
        }
        store_seq(word, n + 1);
        waitq_wake(word, 1, WAITQ_ANY);
    }
    return NULL;
}

static void *disturb(void *arg)
{
    uint32_t random = 99;

    while (!load_relaxed(&over)) {
        waitq_wake(word, 1, WAITQ_ANY);
        for (uint32_t n = next_random(&random) % 65536; n > 0; n--)
            fence_compiler();
        if (next_random(&random) % 16 == 0)
            sched_yield();
    }
    return arg;
}

static void ping_pong(bool spurious)
{
    struct player players[2] = { { .mine = 0 }, { .mine = 1 } };
    pthread_t disturber = spurious ? spawn(disturb, NULL) : 0;

    for (int i = 0; i < 2; i++)
        players[i].thread = spawn(play, &players[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(players[i].thread, NULL);
    store_relaxed(&over, true);
    if (spurious)
        pthread_join(disturber, NULL);
    assert_checks();
    cr_assert_eq(load_seq(word), ROUNDS(PINGS));
    assert_empty(word);
}

Test(waitq, two_threads_never_lose_a_wake_up)
{
    ping_pong(false);
}

Test(waitq, nor_with_spurious_ones)
{
    ping_pong(true);
}

/* Every wake-up that a waker counted ended exactly one wait, whatever deadlines and requeues did at
 * the same moment. */
static _Atomic uint32_t woken, returned, expired;
static _Atomic uint32_t *second;

static void *wait_briefly(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg;

    for (int i = 0; i < ROUNDS(30000); i++) {
        _Atomic uint32_t *key = next_random(&random) % 2 ? word : second;
        /* Some deadlines have passed already, so that some expire on every machine. */
        uint64_t in = next_random(&random) % 4 ? next_random(&random) % 100000 : 0;
        int err = waitq_wait(key, 0, WAITQ_ANY, timer_now() + in, PARK_FUTEX);

        check(err == 0 || err == -ETIMEDOUT);
        add_relaxed(err ? &expired : &returned, 1);
    }
    return NULL;
}

static void *wake_and_move(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg, n = 0;

    while (!load_relaxed(&over)) {
        uint32_t dice = next_random(&random);

        if (dice & 1)
            n += (uint32_t)waitq_wake(dice & 2 ? word : second, 1 + (dice >> 4 & 1), WAITQ_ANY);
        else if (dice & 2)
            waitq_requeue(word, second, 0, 2, false, 0);
        else
            waitq_requeue(second, word, 0, 2, false, 0);
        if (dice >> 8 & 1)
            sched_yield();
        if ((dice >> 9 & 15) == 0)
            usleep(50); /* nobody wakes meanwhile: deadlines pass */
    }
    add_relaxed(&woken, n);
    return NULL;
}

static void test_counts(bool same_bucket)
{
    pthread_t waiters[3], wakers[2];

    second = other_word(same_bucket);
    for (uintptr_t i = 0; i < 3; i++)
        waiters[i] = spawn(wait_briefly, (void *)(i + 1));
    for (uintptr_t i = 0; i < 2; i++)
        wakers[i] = spawn(wake_and_move, (void *)(i + 11));
    for (int i = 0; i < 3; i++)
        pthread_join(waiters[i], NULL);
    store_relaxed(&over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(wakers[i], NULL);
    assert_checks();
    cr_assert_eq(load_relaxed(&woken), load_relaxed(&returned), "%u woken, %u returned",
                 load_relaxed(&woken), load_relaxed(&returned));
    cr_assert_gt(load_relaxed(&woken), 100);
    cr_assert_gt(load_relaxed(&expired), 10);
    assert_empty(word);
    assert_empty(second);
}

Test(waitq, wakes_and_deadlines_and_moves_are_counted_once)
{
    test_counts(false);
}

Test(waitq, also_within_a_bucket)
{
    test_counts(true);
}

/* ---- adoption, clocks ---- */

static void *adopt(void *arg)
{
    struct fiber *f = fiber_current();

    check(f && f == fiber_current() && f == fiber_self);
    check(load_relaxed(&f->flags) == (FIBER_KERNEL | FIBER_FOREIGN));
    check(f->tid == (uint32_t)gettid());
    check(f != arg);
    check(fiber_of(pthread_self()) == f);
    return NULL;
}

Test(waitq, threads_are_adopted)
{
    pthread_t thread = spawn(adopt, fiber_current());

    pthread_join(thread, NULL);
    assert_checks();
}

Test(waitq, absolute_times_are_converted)
{
    struct timespec ts = { 5, 7 }, now;
    uint64_t deadline, before, after;

    cr_assert(deadline_from(CLOCK_MONOTONIC, &ts, &deadline));
    cr_assert_eq(deadline, 5 * NSEC_PER_SEC + 7);
    ts.tv_nsec = (long)NSEC_PER_SEC;
    cr_assert_not(deadline_from(CLOCK_MONOTONIC, &ts, &deadline));
    ts.tv_nsec = -1;
    cr_assert_not(deadline_from(CLOCK_REALTIME, &ts, &deadline));
    ts = (struct timespec){ -1, 0 };
    cr_assert(deadline_from(CLOCK_REALTIME, &ts, &deadline));
    cr_assert_eq(deadline, 0);
    ts = (struct timespec){ 1000, 0 }; /* 1970 */
    cr_assert(deadline_from(CLOCK_REALTIME, &ts, &deadline));
    cr_assert_eq(deadline, 0);
    ts = (struct timespec){ INT64_MAX, 999999999 };
    cr_assert(deadline_from(CLOCK_REALTIME, &ts, &deadline));
    cr_assert_lt(deadline, TIMER_NEVER, "the end of time is not never");
    cr_assert_gt(deadline, 1ull << 62);

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += 100;
    before = timer_now();
    cr_assert(deadline_from(CLOCK_REALTIME, &now, &deadline));
    after = timer_now();
    cr_assert_gt(deadline, before + 50 * NSEC_PER_SEC);
    cr_assert_leq(deadline, after + 100 * NSEC_PER_SEC);
}
