/* timer.c: which timers fire, in which order, what `first` shows to others, and that a timer is
 * never touched after it was disarmed. */
#include "test/unit/common.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sched/timer.h"

static struct timer_heap h;

static void init(void)
{
    timer_heap_init(&h);
}

TestSuite(timer, .init = init);

/* The invariants of a 4-ary heap, and of what is published. */
static void assert_heap(void)
{
    for (uint32_t i = 0; i < h.count; i++) {
        cr_assert_eq(h.slot[i]->index, i);
        cr_assert_eq(load_relaxed(&h.slot[i]->state), TIMER_ARMED);
        if (i)
            cr_assert_leq(h.slot[(i - 1) / 4]->when, h.slot[i]->when);
    }
    cr_assert_eq(load_relaxed(&h.first), h.count ? h.slot[0]->when : TIMER_NEVER);
}

enum { MANY = 5000 };
static struct timer timers[MANY];
static struct timer *fired[MANY];
static uint32_t nfired;

static void record(struct worker *w, void *arg)
{
    struct timer *t = arg;

    cr_assert_eq(w, (struct worker *)&h, "the worker is not passed on");
    cr_assert_eq(load_relaxed(&t->state), TIMER_FIRING);
    cr_assert_eq(load_relaxed(&h.lock.held), 0, "fired under the lock");
    fired[nfired++] = t;
}

static void arm(struct timer *t, uint64_t when)
{
    t->when = when;
    t->fire = record;
    t->arg = t;
    cr_assert_eq(timer_arm(&h, t), 0);
}

static int run(uint64_t now)
{
    nfired = 0;
    return timer_run(&h, (struct worker *)&h, now);
}

Test(timer, an_empty_heap_has_nothing_due)
{
    cr_assert_eq(load_relaxed(&h.first), TIMER_NEVER);
    cr_assert_eq(run(TIMER_NEVER - 1), 0);
    timer_disarm(&timers[0]); /* never armed */
}

Test(timer, fires_when_due_and_not_before)
{
    arm(&timers[0], 100);
    cr_assert_eq(load_relaxed(&h.first), 100);
    cr_assert_eq(run(99), 0);
    cr_assert_eq(run(100), 1);
    cr_assert_eq(fired[0], &timers[0]);
    cr_assert_eq(load_relaxed(&timers[0].state), TIMER_IDLE);
    cr_assert_eq(load_relaxed(&h.first), TIMER_NEVER);
    cr_assert_eq(run(100), 0);
    timer_disarm(&timers[0]);
    arm(&timers[0], 200);
    cr_assert_eq(run(200), 1);
}

Test(timer, first_follows_the_earliest)
{
    arm(&timers[0], 50);
    arm(&timers[1], 30);
    cr_assert_eq(load_relaxed(&h.first), 30);
    arm(&timers[2], 40);
    cr_assert_eq(load_relaxed(&h.first), 30);
    timer_disarm(&timers[1]);
    cr_assert_eq(load_relaxed(&h.first), 40);
    timer_disarm(&timers[0]);
    cr_assert_eq(load_relaxed(&h.first), 40);
    timer_disarm(&timers[2]);
    cr_assert_eq(load_relaxed(&h.first), TIMER_NEVER);
    cr_assert_eq(load_relaxed(&timers[2].state), TIMER_IDLE);
    cr_assert_eq(run(1000), 0);
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = (*(struct timer *const *)a)->when, y = (*(struct timer *const *)b)->when;

    return x < y ? -1 : x > y;
}

/* Everything armed that is due fires, in the order of a sort; nothing else does. */
static void assert_run(uint64_t now)
{
    static struct timer *due[MANY];
    uint32_t n = 0;

    for (uint32_t i = 0; i < MANY; i++)
        if (load_relaxed(&timers[i].state) == TIMER_ARMED && timers[i].when <= now)
            due[n++] = &timers[i];
    qsort(due, n, sizeof *due, by_time);
    cr_assert_eq(run(now), (int)n);
    cr_assert_eq(nfired, n);
    for (uint32_t i = 0; i < n; i++) {
        cr_assert_eq(fired[i]->when, due[i]->when, "number %u of %u", i, n);
        cr_assert_eq(load_relaxed(&due[i]->state), TIMER_IDLE);
    }
}

Test(timer, random_arms_and_disarms_against_a_sorted_reference)
{
    uint32_t random = 2463534242;
    uint64_t now = 0;
    int total = 0;

    for (int step = 0; step < 10000; step++) {
        struct timer *t = &timers[next_random(&random) % 700];

        if (load_relaxed(&t->state) == TIMER_ARMED)
            timer_disarm(t);
        else
            arm(t, now + next_random(&random) % 1000); /* few values: many are equal */
        if (step % 16 == 0)
            assert_heap();
        if (step % 64 == 0) {
            now += next_random(&random) % 100;
            assert_run(now);
            total += (int)nfired;
            assert_heap();
        }
    }
    cr_assert_gt(total, 500, "only %d fired: the test tests nothing", total);
    assert_run(now + 1000);
    cr_assert_eq(h.count, 0);
}

Test(timer, grows)
{
    uint32_t random = 1;

    for (uint32_t i = 0; i < MANY; i++)
        arm(&timers[i], next_random(&random));
    cr_assert_geq(h.room, MANY);
    assert_heap();
    for (uint32_t i = 0; i < MANY; i += 3)
        timer_disarm(&timers[i]);
    assert_heap();
    assert_run(UINT32_MAX);
    cr_assert_eq(h.count, 0);
}

Test(timer, equal_times_all_fire_once)
{
    for (uint32_t i = 0; i < 1000; i++)
        arm(&timers[i], 7);
    arm(&timers[1000], 8);
    cr_assert_eq(run(7), 1000);
    for (uint32_t i = 0; i < 1000; i++)
        cr_assert_eq(load_relaxed(&timers[i].state), TIMER_IDLE, "%u did not fire", i);
    cr_assert_eq(load_relaxed(&h.first), 8);
}

/* ---- firing on one thread, disarming on another ---- */

static struct {
    struct timer timer;
    _Atomic bool firing, disarming, disarmed;
} slow;

static void fire_slowly(struct worker *w, void *arg)
{
    (void)w, (void)arg;
    store_seq(&slow.firing, true);
    wait_until(load_seq(&slow.disarming));
    usleep(20000); /* time to be wrong in */
    check(!load_seq(&slow.disarmed));
}

static void *disarm_slow(void *arg)
{
    wait_until(load_seq(&slow.firing));
    store_seq(&slow.disarming, true);
    timer_disarm(&slow.timer);
    store_seq(&slow.disarmed, true);
    return arg;
}

Test(timer, disarm_waits_while_it_fires)
{
    pthread_t thread = spawn(disarm_slow, NULL);

    slow.timer = (struct timer){ .when = 1, .fire = fire_slowly };
    cr_assert_eq(timer_arm(&h, &slow.timer), 0);
    cr_assert_eq(timer_run(&h, NULL, 1), 1);
    pthread_join(thread, NULL);
    cr_assert_eq(load_relaxed(&slow.timer.state), TIMER_IDLE);
    assert_checks();
}

struct waiting {
    _Atomic uint32_t valid;
    _Atomic uint32_t fired;
};

static _Atomic int waiters_left;
static _Atomic uint32_t fired_in_time, disarmed_in_time;

static void fire_at_waiting(struct worker *w, void *arg)
{
    struct waiting *x = arg;

    (void)w;
    check(load_relaxed(&x->valid) == 1);
    add_relaxed(&x->fired, 1);
    check(load_relaxed(&x->valid) == 1);
}

/* A timer on a stack frame that is used again and again, as a parked fiber's is. */
static void *wait_often(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg;

    for (int i = 0; i < ROUNDS(50000); i++) {
        struct waiting x = { 1, 0 };
        struct timer t = { .when = timer_now() + next_random(&random) % 20000,
                           .fire = fire_at_waiting,
                           .arg = &x };

        check(timer_arm(&h, &t) == 0);
        for (uint32_t n = next_random(&random) % 300; n > 0; n--)
            fence_compiler();
        if (next_random(&random) % 256 == 0)
            sched_yield();
        timer_disarm(&t);
        store_relaxed(&x.valid, 0);
        check(load_relaxed(&x.fired) <= 1);
        add_relaxed(load_relaxed(&x.fired) ? &fired_in_time : &disarmed_in_time, 1);
        memset(&t, 0xff, sizeof t);
        fence_compiler();
    }
    sub_seq(&waiters_left, 1);
    return NULL;
}

Test(timer, firing_races_disarming)
{
    pthread_t threads[2];

    store_relaxed(&waiters_left, 2);
    for (uintptr_t i = 0; i < 2; i++)
        threads[i] = spawn(wait_often, (void *)(i + 1));
    while (load_seq(&waiters_left))
        timer_run(&h, NULL, timer_now());
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_checks();
    cr_assert_eq(h.count, 0);
    cr_assert_eq(load_relaxed(&h.first), TIMER_NEVER);
    cr_assert_gt(load_relaxed(&fired_in_time), 0);
    cr_assert_gt(load_relaxed(&disarmed_in_time), 0);
}
