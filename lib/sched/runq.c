/* The run queue's operations.
 *
 * Invariants: tail - head is the number of queued fibers, at most RUNQ_SIZE; slots between head and
 * tail hold them. The owner alone writes tail and slots; everybody advances head with a
 * compare-and-swap that makes the slots taken free again. A thief reads slots before its swap and
 * throws the values away when the swap fails, so a torn read is never used.
 *
 * The owner is whoever holds the proc, inside the runtime. */
#include "sched/runq.h"

#include "fiber/fiber.h"

void batch_add(struct runq_batch *b, struct fiber *f)
{
    f->next = NULL;
    if (b->last)
        b->last->next = f;
    else
        b->first = f;
    b->last = f;
    b->count++;
}

static bool put_slow(struct runq *q, struct fiber *f, uint32_t head, uint32_t tail,
                     struct runq_batch *overflow)
{
    struct fiber *half[RUNQ_SIZE / 2];
    uint32_t n = (tail - head) / 2;
    for (uint32_t i = 0; i < n; i++)
        half[i] = load_relaxed(&q->ring[(head + i) % RUNQ_SIZE]);
    if (!cas_release(&q->head, &head, head + n)) /* partner: thieves' acquire of head */
        return false;
    for (uint32_t i = 0; i < n; i++)
        batch_add(overflow, half[i]);
    batch_add(overflow, f);
    return true;
}

void runq_put(struct runq *q, struct fiber *f, struct runq_batch *overflow)
{
    for (;;) {
        uint32_t head = load_acquire(&q->head); /* partner: consumers' release of head */
        uint32_t tail = load_relaxed(&q->tail);
        if (tail - head < RUNQ_SIZE) {
            store_relaxed(&q->ring[tail % RUNQ_SIZE], f);
            store_release(&q->tail, tail + 1); /* partner: thieves' acquire of tail */
            return;
        }
        if (put_slow(q, f, head, tail, overflow))
            return;
    }
}

struct fiber *runq_put_next(struct runq *q, struct fiber *f)
{
    return xchg_acqrel(&q->next, f); /* partner: the exchange of a thief that takes next */
}

struct fiber *runq_get(struct runq *q)
{
    struct fiber *f = load_relaxed(&q->next);
    if (f && cas_acquire(&q->next, &f, NULL)) /* fails when a thief took it */
        return f;
    return runq_get_oldest(q);
}

struct fiber *runq_get_oldest(struct runq *q)
{
    for (;;) {
        uint32_t head = load_acquire(&q->head);
        uint32_t tail = load_relaxed(&q->tail);
        if (tail == head)
            return NULL;
        struct fiber *f = load_relaxed(&q->ring[head % RUNQ_SIZE]);
        if (cas_release(&q->head, &head, head + 1))
            return f;
    }
}

struct fiber *runq_steal(struct runq *q, struct runq *victim, bool take_next)
{
    uint32_t own_tail = load_relaxed(&q->tail);
    for (;;) {
        uint32_t head = load_acquire(&victim->head);
        uint32_t tail = load_acquire(&victim->tail); /* partner: runq_put's release */
        uint32_t n = tail - head;
        n -= n / 2;
        if (n == 0) {
            struct fiber *f = take_next ? load_relaxed(&victim->next) : NULL;
            if (f && cas_acquire(&victim->next, &f, NULL))
                return f;
            return NULL;
        }
        if (n > RUNQ_SIZE / 2) /* head and tail were read at different moments */
            continue;
        /* The caller's ring is empty, so half a ring always fits. */
        for (uint32_t i = 0; i < n; i++)
            store_relaxed(&q->ring[(own_tail + i) % RUNQ_SIZE],
                          load_relaxed(&victim->ring[(head + i) % RUNQ_SIZE]));
        if (!cas_release(&victim->head, &head, head + n))
            continue;
        n--; /* the last one is the caller's to run */
        struct fiber *f = load_relaxed(&q->ring[(own_tail + n) % RUNQ_SIZE]);
        if (n)
            store_release(&q->tail, own_tail + n);
        return f;
    }
}

uint32_t runq_room(struct runq *q)
{
    return RUNQ_SIZE - (load_relaxed(&q->tail) - load_acquire(&q->head));
}

bool runq_empty(struct runq *q)
{
    return runq_ring_empty(q) && !load_relaxed(&q->next);
}
