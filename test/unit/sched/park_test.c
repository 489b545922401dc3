/* The handshake of park and ready (park.c) with real fibers on several procs, readied by fibers, by
 * foreign kernel threads, by deadlines and by interruptions: every park returns once, nothing runs
 * twice at a time, nothing is left behind.
 *
 * Each test makes its own process a runtime. The test's body becomes the main fiber. */
#include "test/unit/sched/box.h"

TestSuite(park, .disabled = SANITIZED);

/* ---- tokens in a ring ---- */

enum { RING = 64, LAPS = 10000, TOKENS = 12 };
static struct box ring[RING];

static void *pass_on(void *arg)
{
    struct box *mine = arg, *next = mine + 1 == ring + RING ? ring : mine + 1;

    store_seq(&mine->taking, 1);
    for (int i = 0; i < LAPS; i++) {
        check(take(mine, TIMER_NEVER, false) == 0);
        give(next);
    }
    return arg;
}

/* Every nth member of the ring is a kernel thread that the runtime does not know. */
static void run_ring(int procs, int poller, int foreign)
{
    pthread_t threads[RING];

    activate(procs, poller);
    ring[0].tokens = TOKENS;
    for (int i = 0; i < RING; i++)
        threads[i] = foreign && i % foreign == 1 ? spawn(pass_on, &ring[i])
                                                 : create(pass_on, &ring[i]);
    for (int i = 0; i < RING; i++) {
        if (foreign && i % foreign == 1)
            pthread_join(threads[i], NULL);
        else
            join(threads[i], &ring[i]);
    }
    assert_counts();
    cr_assert_gt(load_relaxed(&parks), 100);
    cr_assert_eq(ring[0].tokens, TOKENS, "%d of %d tokens are left", ring[0].tokens, TOKENS);
    for (int i = 1; i < RING; i++)
        cr_assert_eq(ring[i].tokens, 0);
}

Test(park, a_ring_on_one_proc)
{
    run_ring(1, POLLER_AUTO, 0);
}

Test(park, a_ring_on_two_procs)
{
    run_ring(2, POLLER_AUTO, 0);
}

Test(park, a_ring_on_more_procs_than_cpus)
{
    run_ring(7, POLLER_AUTO, 0);
}

Test(park, a_ring_with_epoll)
{
    run_ring(3, POLLER_EPOLL, 0);
}

Test(park, a_ring_through_foreign_threads)
{
    run_ring(2, POLLER_AUTO, 16);
}

Test(park, a_ring_through_foreign_threads_with_epoll)
{
    run_ring(2, POLLER_EPOLL, 16);
}

/* ---- a storm: givers of all kinds, takers with and without deadlines ---- */

enum { TAKERS = 24, GIVERS = 8, GIFTS = 1500 }; /* gifts from each giver to each taker */
static struct box boxes[TAKERS];
static _Atomic bool over;

static void *take_all(void *arg)
{
    struct box *mine = arg;
    uint32_t random = (uint32_t)(mine - boxes) + 1;

    store_seq(&mine->taking, 1);
    for (int got = 0; got < GIVERS * GIFTS;) {
        uint32_t dice = next_random(&random);
        uint64_t deadline = TIMER_NEVER;
        int err;

        if (dice & 1)
            deadline = dice & 2 ? timer_now() + (dice >> 8) % 30000 : 1; /* past */
        err = take(mine, deadline, dice & 4);
        check(err == 0 || (err == -ETIMEDOUT && dice & 1) || (err == -EINTR && dice & 4));
        got += !err;
        if (dice >> 20 == 0)
            fiber_yield(fiber_current());
    }
    return arg;
}

static void *give_all(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg + 100;
    int left[TAKERS];

    for (int i = 0; i < TAKERS; i++)
        left[i] = GIFTS;
    for (int n = TAKERS * GIFTS; n > 0; n--) {
        uint32_t dice = next_random(&random), i = dice % TAKERS;

        while (!left[i])
            i = (i + 1) % TAKERS;
        left[i]--;
        give(&boxes[i]);
        /* Lets the takers' boxes run empty at times. */
        if (dice >> 8 & 1)
            fiber_yield(fiber_current());
    }
    return arg;
}

static struct fiber *_Atomic victims[TAKERS];
static _Atomic uint64_t interrupts;

static void *interrupt(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg + 200;

    while (!load_relaxed(&over)) {
        struct fiber *self = fiber_current(), *f = victims[next_random(&random) % TAKERS];
        struct worker *w = runtime_enter(self);

        if (f && fiber_interrupt(w, f))
            add_relaxed(&interrupts, 1);
        runtime_leave(self);
        fiber_yield(self);
    }
    return NULL;
}

static void run_storm(int procs, int poller, int foreign, bool interruptions)
{
    pthread_t takers[TAKERS], givers[GIVERS], foreign_interrupter = 0, interrupter = 0;

    activate(procs, poller);
    for (int i = 0; i < TAKERS; i++) {
        takers[i] = create(take_all, &boxes[i]);
        victims[i] = fiber_of(takers[i]);
    }
    for (intptr_t i = 0; i < GIVERS; i++)
        givers[i] = i < foreign ? spawn(give_all, (void *)i) : create(give_all, (void *)i);
    if (interruptions) {
        foreign_interrupter = spawn(interrupt, NULL);
        interrupter = create(interrupt, (void *)1);
    }
    for (intptr_t i = 0; i < GIVERS; i++) {
        if (i < foreign)
            pthread_join(givers[i], NULL);
        else
            join(givers[i], (void *)i);
    }
    for (int i = 0; i < TAKERS; i++) {
        /* A joined fiber's struct may be another's next: nobody interrupts it after that. */
        void *result = NULL;
        victims[i] = NULL;
        cr_assert_eq(thread_join(takers[i], &result, TIMER_NEVER), 0);
        cr_assert_eq(result, &boxes[i]);
    }
    store_relaxed(&over, true);
    if (interruptions) {
        pthread_join(foreign_interrupter, NULL);
        join(interrupter, NULL);
        cr_assert_gt(load_relaxed(&interrupts), 10);
    }
    assert_counts();
    cr_assert_gt(load_relaxed(&expiries), 100);
    cr_assert_gt(load_relaxed(&readies), 100);
    for (int i = 0; i < TAKERS; i++) {
        cr_assert_eq(boxes[i].tokens, 0);
        cr_assert_null(boxes[i].waiter);
    }
}

Test(park, deadlines_race_with_readies)
{
    run_storm(2, POLLER_AUTO, 0, false);
}

Test(park, deadlines_race_with_readies_on_one_proc)
{
    run_storm(1, POLLER_AUTO, 1, false);
}

Test(park, deadlines_race_with_readies_from_foreign_threads)
{
    run_storm(3, POLLER_AUTO, 4, false);
}

Test(park, all_from_foreign_threads_with_epoll)
{
    run_storm(2, POLLER_EPOLL, GIVERS, false);
}

Test(park, interruptions_race_too)
{
    run_storm(2, POLLER_AUTO, 2, true);
}

/* ---- one at a time ---- */

static void *take_one(void *arg)
{
    store_seq(&boxes[0].taking, 1);
    return (void *)(intptr_t)-take(&boxes[0], arg ? *(uint64_t *)arg : TIMER_NEVER, true);
}

Test(park, what_is_parked_says_so)
{
    pthread_t thread;
    struct fiber *f;

    activate(1, POLLER_AUTO);
    thread = create(take_one, NULL);
    f = fiber_of(thread);
    wait_as_fiber_until(parked_in(&boxes[0]));
    cr_assert_eq(load_relaxed(&f->state), FIBER_PARKED);
    cr_assert_eq(f->park_reason, PARK_SEM);
    cr_assert_eq(f->park_object, &boxes[0]);
    give(&boxes[0]);
    cr_assert_eq(load_relaxed(&f->state), FIBER_RUNNABLE);
    join(thread, NULL);
    assert_counts();
}

Test(park, the_deadline_passes_and_not_before)
{
    uint64_t deadline;
    pthread_t thread;

    activate(2, POLLER_AUTO);
    deadline = timer_now() + 10 * NSEC_PER_MSEC;
    thread = create(take_one, &deadline);
    join(thread, (void *)ETIMEDOUT);
    cr_assert_geq(timer_now(), deadline);
    assert_counts();
    cr_assert_eq(load_relaxed(&expiries), 1);
}

Test(park, an_interruption_ends_only_a_park_that_allows_it)
{
    pthread_t thread;
    struct fiber *f;

    activate(1, POLLER_AUTO);
    thread = create(take_one, NULL);
    f = fiber_of(thread);
    cr_assert_not(fiber_interrupt(NULL, f), "it does not even run yet");
    wait_as_fiber_until(parked_in(&boxes[0]));
    cr_assert(fiber_interrupt(NULL, f));
    cr_assert_not(fiber_interrupt(NULL, f));
    join(thread, (void *)EINTR);
    assert_counts();
}
