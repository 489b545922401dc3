/* runq.c: order and limits as its owner sees them, and that fibers put by an owner and stolen by
 * thieves meanwhile each come out exactly once. */
#include "test/unit/common.h"
#include <stdlib.h>
#include <string.h>

#include "fiber/fiber.h"
#include "sched/runq.h"

static struct runq q;
static struct runq_batch overflow;
static struct fiber fibers[2 * RUNQ_SIZE];

static void fill(uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++)
        runq_put(&q, &fibers[i], &overflow);
}

static void expect(uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++)
        cr_assert_eq(runq_get(&q), &fibers[i], "not number %u", i);
}

Test(runq, starts_empty)
{
    cr_assert(runq_empty(&q));
    cr_assert(runq_ring_empty(&q));
    cr_assert_null(runq_get(&q));
    cr_assert_eq(runq_room(&q), RUNQ_SIZE);
}

Test(runq, is_a_fifo)
{
    /* Often enough for the ring to go round. */
    for (int round = 0; round < 10; round++) {
        fill(0, 100);
        cr_assert_not(runq_empty(&q));
        expect(0, 60);
        fill(100, 150);
        expect(60, 190);
        cr_assert_null(runq_get(&q));
    }
    cr_assert_eq(overflow.count, 0);
}

Test(runq, indexes_may_wrap)
{
    store_relaxed(&q.head, UINT32_MAX - 10);
    store_relaxed(&q.tail, UINT32_MAX - 10);
    fill(0, RUNQ_SIZE);
    cr_assert_eq(runq_room(&q), 0);
    expect(0, RUNQ_SIZE);
    cr_assert_eq(load_relaxed(&q.head), RUNQ_SIZE - 11);
    cr_assert(runq_empty(&q));
}

Test(runq, room_is_what_can_be_put_without_overflow)
{
    for (uint32_t i = 0; i < RUNQ_SIZE; i++) {
        cr_assert_eq(runq_room(&q), RUNQ_SIZE - i);
        fill(i, 1);
        cr_assert_eq(overflow.count, 0);
    }
    cr_assert_eq(runq_room(&q), 0);
    expect(0, 1);
    cr_assert_eq(runq_room(&q), 1);
}

Test(runq, next_comes_first_and_displaces)
{
    fill(0, 2);
    cr_assert_null(runq_put_next(&q, &fibers[10]));
    cr_assert_eq(runq_put_next(&q, &fibers[11]), &fibers[10]);
    expect(11, 1);
    expect(0, 2);
    cr_assert_null(runq_get(&q));
}

Test(runq, next_counts_for_empty_but_not_for_the_ring)
{
    runq_put_next(&q, &fibers[0]);
    cr_assert_not(runq_empty(&q));
    cr_assert(runq_ring_empty(&q));
    cr_assert_eq(runq_room(&q), RUNQ_SIZE);
}

Test(runq, a_full_ring_hands_its_older_half_and_the_new_one_back)
{
    fill(0, RUNQ_SIZE + 1);
    cr_assert_eq(overflow.count, RUNQ_SIZE / 2 + 1);
    struct fiber *f = overflow.first;
    for (uint32_t i = 0; i < RUNQ_SIZE / 2; i++, f = f->next)
        cr_assert_eq(f, &fibers[i], "number %u handed back in the wrong order", i);
    cr_assert_eq(f, &fibers[RUNQ_SIZE], "the new one is not the last of the batch");
    cr_assert_eq(f, overflow.last);
    cr_assert_null(f->next);
    cr_assert_eq(runq_room(&q), RUNQ_SIZE / 2);
    expect(RUNQ_SIZE / 2, RUNQ_SIZE / 2);
    cr_assert_null(runq_get(&q));
}

Test(runq, a_batch_grows_at_its_end)
{
    fibers[1].next = &fibers[5]; /* whatever list it was in */
    batch_add(&overflow, &fibers[0]);
    batch_add(&overflow, &fibers[1]);
    cr_assert_eq(overflow.count, 2);
    cr_assert_eq(overflow.first, &fibers[0]);
    cr_assert_eq(fibers[0].next, &fibers[1]);
    cr_assert_eq(overflow.last, &fibers[1]);
    cr_assert_null(fibers[1].next);
}

Test(runq, stealing_takes_the_older_half)
{
    static struct runq mine;

    fill(0, 9);
    /* Five of nine: the last of them is returned, the rest is in my ring. */
    cr_assert_eq(runq_steal(&mine, &q, false), &fibers[4]);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(runq_get(&mine), &fibers[i]);
    cr_assert_null(runq_get(&mine));
    expect(5, 4);
}

Test(runq, a_lone_fiber_can_be_stolen)
{
    static struct runq mine;

    fill(0, 1);
    cr_assert_eq(runq_steal(&mine, &q, false), &fibers[0]);
    cr_assert(runq_empty(&mine));
    cr_assert(runq_empty(&q));
    cr_assert_null(runq_steal(&mine, &q, true));
}

Test(runq, next_is_stolen_only_on_request_and_last)
{
    static struct runq mine;

    fill(0, 1);
    runq_put_next(&q, &fibers[1]);
    cr_assert_eq(runq_steal(&mine, &q, true), &fibers[0]);
    cr_assert_null(runq_steal(&mine, &q, false));
    cr_assert_eq(runq_steal(&mine, &q, true), &fibers[1]);
    cr_assert(runq_empty(&q));
}

/* ---- an owner and thieves at the same time ---- */

enum { THIEVES = 3, HERD = 50000 };

static struct {
    struct runq owner, thief[THIEVES];
    struct fiber *herd;
    _Atomic uint8_t *seen;
    _Atomic bool put_all;
    _Atomic int ready;
    _Atomic uint32_t stolen, handed_back;
    bool with_next, full;
} farm;

static void see(struct fiber *f)
{
    check(f >= farm.herd && f < farm.herd + HERD);
    check(add_relaxed(&farm.seen[f - farm.herd], 1) == 0);
}

static void *thief(void *arg)
{
    struct runq *mine = arg;
    uint32_t random = (uint32_t)(mine - farm.thief) + 1;

    add_seq(&farm.ready, 1);
    for (;;) {
        bool last = load_acquire(&farm.put_all); /* partner: the owner's release */
        uint32_t whom = next_random(&random) % (THIEVES + 1);
        struct runq *victim = whom < THIEVES && !last ? &farm.thief[whom] : &farm.owner;
        struct fiber *f = victim == mine ? NULL : runq_steal(mine, victim, farm.with_next);

        if (!f && last)
            return NULL;
        if (f) {
            see(f);
            add_relaxed(&farm.stolen, 1);
        }
        /* Slowly, so that the other thieves have something to steal here. */
        while ((f = runq_get(mine))) {
            see(f);
            if (next_random(&random) % 64 == 0)
                sched_yield();
        }
        /* Lets the owner fill its ring, and then comes back at any moment. */
        for (uint32_t n = farm.full ? next_random(&random) % 4096 : 0; n > 0; n--)
            fence_compiler();
    }
}

static void owner_put(struct fiber *f)
{
    struct runq_batch back = { 0 };

    runq_put(&farm.owner, f, &back);
    for (struct fiber *g = back.first, *next; g; g = next) {
        next = g->next;
        see(g);
        add_relaxed(&farm.handed_back, 1);
    }
}

static void own(uint32_t *random)
{
    for (uint32_t i = 0; i < HERD; i++) {
        uint32_t dice = next_random(random);
        struct fiber *f = &farm.herd[i];

        if (farm.with_next && dice % 3 == 0)
            f = runq_put_next(&farm.owner, f);
        if (f)
            owner_put(f);
        for (uint32_t n = dice >> 8 & 1 && !farm.full ? dice >> 16 & 3 : 0; n > 0; n--)
            if ((f = runq_get(&farm.owner)))
                see(f);
        if (dice >> 20 == 0)
            sched_yield();
    }
}

static void run_farm(bool with_next, bool full)
{
    uint32_t random = 88172645;

    farm.herd = calloc(HERD, sizeof *farm.herd);
    farm.seen = calloc(HERD, sizeof *farm.seen);
    farm.with_next = with_next;
    farm.full = full;
    cr_assert(farm.herd && farm.seen);
    for (int round = 0; round < ROUNDS(20); round++) {
        pthread_t threads[THIEVES];
        struct fiber *f;

        memset((void *)farm.seen, 0, HERD * sizeof *farm.seen);
        store_relaxed(&farm.put_all, false);
        store_relaxed(&farm.ready, 0);
        for (int i = 0; i < THIEVES; i++)
            threads[i] = spawn(thief, &farm.thief[i]);
        wait_until(load_seq(&farm.ready) == THIEVES);
        own(&random);
        while ((f = runq_get(&farm.owner)))
            see(f);
        store_release(&farm.put_all, true);
        for (int i = 0; i < THIEVES; i++)
            pthread_join(threads[i], NULL);
        cr_assert(runq_empty(&farm.owner));
        for (int i = 0; i < THIEVES; i++)
            cr_assert(runq_empty(&farm.thief[i]));
        for (uint32_t i = 0; i < HERD; i++)
            cr_assert_eq(load_relaxed(&farm.seen[i]), 1, "round %d: fiber %u seen %d times", round,
                         i, load_relaxed(&farm.seen[i]));
        assert_checks();
    }
    cr_assert_gt(load_relaxed(&farm.stolen), 100, "only %u thefts: the test tests nothing",
                 load_relaxed(&farm.stolen));
    cr_assert(!full || load_relaxed(&farm.handed_back) > 100, "the ring was hardly ever full");
}

Test(runq, a_million_fibers_and_three_thieves)
{
    run_farm(false, false);
}

Test(runq, a_million_fibers_with_the_next_slot)
{
    run_farm(true, false);
}

Test(runq, a_million_fibers_through_a_full_ring)
{
    run_farm(false, true);
}
