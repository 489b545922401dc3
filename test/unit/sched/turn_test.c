/* Everybody gets a turn: fibers that yield, are always served, sit in the global queue, come and go, with
 * real fibers on one proc and on two.
 *
 * Each test makes its own process a runtime. The test's body becomes the main fiber. */
#include "test/unit/sched/box.h"

TestSuite(turn, .disabled = SANITIZED);

static void *note_turn(void *turn)
{
    store_relaxed((_Atomic int *)turn, 1);
    return NULL;
}

/* A fiber whose receives never wait. */
Test(turn, who_is_always_served_lets_others_run)
{
    static _Atomic int turn;
    pthread_t thread;

    options.slice_ms = 0;
    activate(1, POLLER_AUTO);
    for (int i = 0; i < 1000; i++) /* alone, it goes on */
        fiber_served(fiber_current());
    fiber_current()->served = 0;
    thread = create(note_turn, (void *)&turn);
    for (int i = 0; i < SERVED_AT_ONCE - 1; i++)
        fiber_served(fiber_current());
    cr_assert_eq(load_relaxed(&turn), 0, "too early");
    fiber_served(fiber_current());
    cr_assert_eq(load_relaxed(&turn), 1, "the other had no turn");
    join(thread, NULL);
}

static _Atomic int met;

static void *meet(void *arg)
{
    add_seq(&met, 1);
    while (load_seq(&met) < (int)(intptr_t)arg)
        fiber_yield(fiber_current());
    return arg;
}

Test(turn, yielding_lets_everybody_run)
{
    enum { N = 500 }; /* more than a run queue holds */
    pthread_t threads[N];

    activate(2, POLLER_AUTO);
    for (int i = 0; i < N; i++)
        threads[i] = create(meet, (void *)(intptr_t)N);
    for (int i = 0; i < N; i++)
        join(threads[i], (void *)(intptr_t)N);
}

/* ---- the global queue is not behind a local one that never empties ---- */

enum { MANY = 120 };
static struct box many[MANY];
static _Atomic int turns, enough;

static void *take_and_count(void *box)
{
    store_seq(&((struct box *)box)->taking, 1);
    check(take(box, TIMER_NEVER, false) == 0);
    add_seq(&turns, 1);
    return NULL;
}

static void *keep_busy(void *arg)
{
    while (!load_seq(&enough))
        fiber_yield(fiber_current());
    return arg;
}

Test(turn, the_global_queue_has_its_share)
{
    pthread_t threads[MANY], busy;
    int switches = 0;

    options.slice_ms = 0;
    activate(1, POLLER_AUTO);
    for (int i = 0; i < MANY; i++)
        threads[i] = create(take_and_count, &many[i]);
    for (int i = 0; i < MANY; i++)
        wait_as_fiber_until(parked_in(&many[i]));
    busy = create(keep_busy, NULL);
    for (int i = 0; i < MANY; i++) {
        struct fiber *f = many[i].waiter;

        many[i].waiter = NULL;
        add_relaxed(&readies, 1);
        fiber_ready(NULL, f);
    }
    while (load_seq(&turns) < MANY) {
        fiber_yield(fiber_current());
        switches++;
    }
    cr_assert_lt(switches, 4 * MANY, "%d looks at the others before all had a turn", switches);
    store_seq(&enough, 1);
    join(busy, NULL);
    for (int i = 0; i < MANY; i++)
        join(threads[i], NULL);
    assert_counts();
}

/* Fibers that come and go: their structs are used again. */
static void *end_at_once(void *arg)
{
    return arg;
}

static void *create_and_join(void *arg)
{
    for (intptr_t i = 0; i < 5000; i++) {
        pthread_t thread;
        void *result = NULL;

        check(thread_create(&thread, NULL, end_at_once, (void *)i, false) == 0);
        if (i % 5 == 0) {
            check(thread_detach(thread) == 0);
            continue;
        }
        check(thread_join(thread, &result, TIMER_NEVER) == 0);
        check(result == (void *)i);
    }
    return arg;
}

Test(turn, joins_and_detaches_race_with_ends)
{
    enum { N = 4 };
    pthread_t threads[N], foreign;

    activate(2, POLLER_AUTO);
    foreign = spawn(create_and_join, NULL);
    for (int i = 0; i < N; i++)
        threads[i] = create(create_and_join, NULL);
    for (int i = 0; i < N; i++)
        join(threads[i], NULL);
    pthread_join(foreign, NULL);
    assert_checks();
    /* The detached may end a little later. */
    wait_as_fiber_until(load_relaxed(&fiber_live) == 1);
}
