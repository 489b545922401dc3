/* The handshake of park and ready (park.c) with real fibers on several procs, readied by fibers, by
 * foreign kernel threads, by deadlines and by interruptions: every park returns once, nothing runs
 * twice at a time, nothing is left behind.
 *
 * Each test makes its own process a runtime. The test's body becomes the main fiber. */
#include "test/unit/common.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch/syscall.h"
#include "base/log.h"
#include "base/option.h"
#include "sched/sched.h"
#include "sync/waitq.h"
#include "thread/thread.h"

static long write_log(int fd, const void *buf, unsigned long n)
{
    return sys_call(SYS_write, fd, buf, n);
}

static void activate(int procs, int poller)
{
    log_write = write_log;
    options.procs = procs;
    options.poller = poller;
    runtime_init();
    runtime_activate();
    cr_assert_eq(runtime_mode, RUNTIME_ACTIVE);
}

TestSuite(park, .disabled = SANITIZED);

/* ---- a box that holds tokens and at most one fiber that waits for one ---- */

struct box {
    struct lock lock;
    struct fiber *waiter;
    bool expired;
    int tokens;
    _Atomic int taking; /* whether its owner runs: 0 or 1 */
} __attribute__((aligned(64)));

static _Atomic uint64_t parks, readies, expiries, interrupts;

static void box_expire(struct worker *w, void *arg)
{
    struct box *b = arg;

    lock_acquire(&b->lock);
    if (b->waiter) {
        struct fiber *f = b->waiter;

        b->waiter = NULL;
        b->expired = true;
        add_relaxed(&expiries, 1);
        sched_deliver(w ? w->proc : NULL, f);
    }
    lock_release(&b->lock);
}

/* Only the box's owner takes. 0, -ETIMEDOUT or -EINTR. */
static int take(struct box *b, uint64_t deadline, bool interruptible)
{
    struct fiber *self = fiber_current();
    bool early = false;

    runtime_enter(self);
    lock_acquire(&b->lock);
    if (b->tokens) {
        b->tokens--;
        lock_release(&b->lock);
        runtime_leave(self);
        return 0;
    }
    b->waiter = self;
    b->expired = false;
    /* From here on a second return from the park would find somebody running. */
    check(atomic_exchange(&b->taking, 0) == 1);
    if (interruptible)
        early = fiber_park_interruptible(self, PARK_SEM, b, sched_release_lock, b, deadline,
                                         box_expire);
    else if (deadline != TIMER_NEVER)
        fiber_park_until(self, PARK_SEM, b, sched_release_lock, b, deadline, box_expire);
    else
        fiber_park(self, PARK_SEM, b, sched_release_lock, b);
    check(atomic_exchange(&b->taking, 1) == 0);
    check(fiber_self == self);
    add_relaxed(&parks, 1);
    runtime_leave(self);
    return !b->expired ? 0 : early ? -EINTR : -ETIMEDOUT;
}

static void give(struct box *b)
{
    struct fiber *self = fiber_current();
    struct worker *w = runtime_enter(self);
    struct fiber *f;

    lock_acquire(&b->lock);
    f = b->waiter;
    b->waiter = NULL;
    if (!f)
        b->tokens++;
    lock_release(&b->lock);
    if (f) {
        add_relaxed(&readies, 1);
        fiber_ready(w, f);
    }
    runtime_leave(self);
}

static void assert_counts(void)
{
    assert_checks();
    cr_assert_eq(load_relaxed(&parks), load_relaxed(&readies) + load_relaxed(&expiries),
                 "%lu parks returned, %lu made ready, %lu expired", load_relaxed(&parks),
                 load_relaxed(&readies), load_relaxed(&expiries));
}

static pthread_t create(void *(*start)(void *), void *arg)
{
    pthread_t thread;
    int err = thread_create(&thread, NULL, start, arg, false);

    cr_assert_eq(err, 0, "thread_create: %d", err);
    return thread;
}

static void join(pthread_t thread, void *expected)
{
    void *result = NULL;

    cr_assert_eq(thread_join(thread, &result, TIMER_NEVER), 0);
    cr_assert_eq(result, expected);
}

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

static bool parked_in(struct box *b)
{
    bool parked;

    lock_acquire(&b->lock);
    parked = b->waiter != NULL;
    lock_release(&b->lock);
    return parked;
}

#define wait_as_fiber_until(condition)                                                             \
    do {                                                                                           \
        while (!(condition))                                                                       \
            fiber_yield(fiber_current());                                                          \
    } while (0)

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

/* ---- everybody gets a turn ---- */

static void *note_turn(void *turn)
{
    store_relaxed((_Atomic int *)turn, 1);
    return NULL;
}

/* A fiber whose receives never wait. */
Test(park, who_is_always_served_lets_others_run)
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

Test(park, yielding_lets_everybody_run)
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

Test(park, the_global_queue_has_its_share)
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

Test(park, joins_and_detaches_race_with_ends)
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
