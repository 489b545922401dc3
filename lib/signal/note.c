/* Signals on their way to a thread of the program's. Lists and pool are lock-free, because signal handlers
 * make notes, on any stack. The pool grows by segments, which are never given back; how many notes there
 * may be is RLIMIT_SIGPENDING's business (signal_send). */
#include <string.h>
#include <sys/mman.h>
#include "arch/syscall.h"
#include "signal/note.h"

#define NOTES    1024u
#define SEGMENTS 1024u

struct segment {
    _Atomic uint64_t used[NOTES / 64];
    struct note notes[NOTES];
};

static struct segment first_segment;
static _Atomic(struct segment *) segments[SEGMENTS] = { &first_segment };
static _Atomic uint32_t live;
static _Atomic uint64_t sequence;
static _Atomic uint64_t discarded[65]; /* by signal: notes before this one are void */

static struct note *make_in(struct segment *s)
{
    for (uint32_t i = 0; i < NOTES / 64; i++) {
        uint64_t u = load_relaxed(&s->used[i]);
        while (u != ~0ull) {
            int bit = __builtin_ctzll(~u);
            if (cas_acquire(&s->used[i], &u, u | 1ull << bit)) /* partner: note_free */
                return &s->notes[i * 64 + (uint32_t)bit];
        }
    }
    return NULL;
}

static struct segment *grow(uint32_t i)
{
    long at = sys_call(SYS_mmap, NULL, sizeof(struct segment), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at > -4096)
        return NULL;
    struct segment *s = (struct segment *)at, *there = NULL;
    if (cas_release(&segments[i], &there, s)) /* partner: note_make's acquire */
        return s;
    sys_call(SYS_munmap, at, sizeof *s);
    return load_acquire(&segments[i]);
}

struct note *note_make(const siginfo_t *info)
{
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        struct segment *s = load_acquire(&segments[i]);
        if (!s && !(s = grow(i)))
            return NULL;
        struct note *n = make_in(s);
        if (!n)
            continue;
        n->info = *info;
        n->process = false;
        n->segment = i;
        n->sequence = add_relaxed(&sequence, 1);
        add_relaxed(&live, 1);
        return n;
    }
    return NULL;
}

void note_free(struct note *n)
{
    struct segment *s = load_relaxed(&segments[n->segment]);
    uint32_t i = (uint32_t)(n - s->notes);
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    atomic_fetch_and_explicit(&s->used[i / 64], ~(1ull << i % 64), memory_order_release);
}

void note_discard(int sig)
{
    store_seq(&discarded[sig], add_seq(&sequence, 1)); /* partner: note_void in signal_keep */
}

bool note_void(const struct note *n)
{
    return unlikely(n->sequence < load_seq(&discarded[n->info.si_signo]));
}

void note_renew(struct note *n)
{
    n->sequence = add_relaxed(&sequence, 1);
}

uint32_t note_count(void)
{
    return load_relaxed(&live);
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
    for (uint32_t i = 0; i < SEGMENTS && load_relaxed(&segments[i]); i++)
        for (uint32_t j = 0; j < NOTES / 64; j++)
            store_relaxed(&load_relaxed(&segments[i])->used[j], 0);
    store_relaxed(&live, 0);
}
