/* Signals on their way to a thread of the program's. Lists and pool are lock-free, because signal handlers
 * make notes, on any stack. */
#include <string.h>
#include "signal/note.h"

#define NOTES 1024u

static struct note pool[NOTES];
static _Atomic uint64_t used[NOTES / 64];

struct note *note_make(const siginfo_t *info)
{
    for (uint32_t i = 0; i < NOTES / 64; i++) {
        uint64_t u = load_relaxed(&used[i]);
        while (u != ~0ull) {
            int bit = __builtin_ctzll(~u);
            if (!cas_acquire(&used[i], &u, u | 1ull << bit)) /* partner: note_free */
                continue;
            struct note *n = &pool[i * 64 + (uint32_t)bit];
            n->info = *info;
            n->process = false;
            return n;
        }
    }
    return NULL;
}

void note_free(struct note *n)
{
    uint32_t i = (uint32_t)(n - pool);
    atomic_fetch_and_explicit(&used[i / 64], ~(1ull << i % 64), memory_order_release);
}

void note_push(_Atomic(struct note *) *list, struct note *n)
{
    n->next = load_relaxed(list);
    while (!cas_release(list, &n->next, n)) /* partner: note_take_all */
        ;
}

/* Oldest first. */
struct note *note_take_all(_Atomic(struct note *) *list)
{
    struct note *n = xchg_acqrel(list, NULL), *first = NULL;
    while (n) {
        struct note *next = n->next;
        n->next = first;
        first = n;
        n = next;
    }
    return first;
}

void note_after_fork(void)
{
    for (uint32_t i = 0; i < NOTES / 64; i++)
        store_relaxed(&used[i], 0);
}
