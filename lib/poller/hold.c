/* Calls of several steps on one descriptor, which must not find another file under its number half way.
 *
 * The kernel keeps the file for a call that it carries out itself. Here a call that has begun is entered
 * under its number, and whoever is about to close or replace that (poller_closing) first makes a duplicate, with which
 * the call goes on. So a descriptor is spent only where one goes away, and only until the call ends.
 *
 * Invariants: a hold is in the list of the bucket that home names, or on its way from one to another (home
 * is -1). A step sets busy, reads fd, and uses it; the closer changes fd and waits until busy is 0:
 * afterwards nobody uses the old number. A closer who looked before the call was entered has counted itself
 * before: hold_begin refuses while there is one. The duplicates are listed, for a fork's child closes them.
 *
 * Called on fibers' stacks, inside the runtime, where no handler can close the number or leave by longjmp;
 * only the two that count closers may be called outside. */
#include "poller/hold.h"

#include <fcntl.h>
#include <sys/resource.h>
#include "arch/syscall.h"

#define BUCKETS 256u
#define MOST    64u /* duplicates at once */

static struct bucket {
    struct lock lock;
    _Atomic uint32_t closing; /* numbers being closed */
    _Atomic(struct hold *) first;
} buckets[BUCKETS];

static _Atomic int duplicates[MOST]; /* number + 1; 0: free */

static void enter(struct hold *h, int fd)
{
    struct bucket *b = &buckets[(unsigned)fd % BUCKETS];
    lock_acquire(&b->lock);
    h->next = load_relaxed(&b->first);
    store_relaxed(&b->first, h);
    store_release(&h->home, (int)((unsigned)fd % BUCKETS)); /* partner: hold_end */
    lock_release(&b->lock);
}

static void leave(struct bucket *b, struct hold *h)
{
    struct hold *x = load_relaxed(&b->first);
    if (x == h) {
        store_relaxed(&b->first, h->next);
        return;
    }
    while (x && x->next != h)
        x = x->next;
    if (x)
        x->next = h->next;
}

bool hold_begin(struct hold *h, int fd)
{
    if (fd < 0)
        return false;
    h->number = fd;
    store_relaxed(&h->fd, fd);
    store_relaxed(&h->busy, 0);
    h->duplicate = -1;
    enter(h, fd);
    fence_seq(); /* partner: hold_closing_begin, which counts itself before it looks at the list */
    if (likely(!load_relaxed(&buckets[(unsigned)fd % BUCKETS].closing)))
        return true;
    hold_end(h);
    return false;
}

void hold_end(struct hold *h)
{
    for (unsigned round = 0;; round++) {
        int home = load_acquire(&h->home); /* partner: enter */
        if (home < 0) {
            lock_relax(round);
            continue;
        }
        struct bucket *b = &buckets[home];
        lock_acquire(&b->lock);
        bool here = load_relaxed(&h->home) == home;
        if (here)
            leave(b, h);
        lock_release(&b->lock);
        if (here)
            break;
    }
    if (h->duplicate < 0)
        return;
    int fd = load_relaxed(&duplicates[h->duplicate]) - 1;
    fd_forget(fd);
    sys_call(SYS_close, fd);
    store_release(&duplicates[h->duplicate], 0); /* partner: duplicate */
}

int hold_step_begin(struct hold *h)
{
    store_relaxed(&h->busy, 1);
    fence_seq(); /* partner: change_number, which changes fd and then waits for busy */
    return load_relaxed(&h->fd);
}

void hold_step_end(struct hold *h)
{
    store_release(&h->busy, 0); /* partner: change_number */
}

/* High, for the program may expect the lowest free number for its next descriptor. -1: there is none. */
static int duplicate(struct hold *h, int fd)
{
    struct rlimit limit = { 0, 0 };
    getrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned i = 0; i < MOST; i++) {
        int free = 0;
        if (!cas_acquire(&duplicates[i], &free, -1)) /* partner: hold_end */
            continue;
        int high = (int)sys_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, limit.rlim_cur / 2);
        if (high < 0)
            high = (int)sys_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
        int old = h->duplicate;
        h->duplicate = high < 0 ? -1 : (int)i;
        store_relaxed(&duplicates[i], high < 0 ? 0 : high + 1);
        if (high >= 0) {
            fd_forget(high);
            fd_classify(high); /* known: close_range tells of it */
        }
        /* It was a duplicate already, and the program closes it: whoever does so frees the number. */
        if (old >= 0)
            store_release(&duplicates[old], 0);
        return high < 0 ? -1 : high;
    }
    return -1;
}

/* Under the bucket's lock. */
static void change_number(struct hold *h)
{
    store_relaxed(&h->fd, duplicate(h, h->number));
    fence_seq(); /* partner: hold_step_begin */
    for (unsigned round = 0; load_acquire(&h->busy); round++)
        lock_relax(round);
    h->number = load_relaxed(&h->fd);
}

bool hold_closing_begin(int fd)
{
    if (fd < 0)
        return false;
    struct bucket *b = &buckets[(unsigned)fd % BUCKETS];
    add_seq(&b->closing, 1); /* partner: hold_begin */
    return load_relaxed(&b->first);
}

void hold_move(int fd)
{
    struct bucket *b = &buckets[(unsigned)fd % BUCKETS];
    struct hold *moved = NULL;
    lock_acquire(&b->lock);
    for (struct hold *h = load_relaxed(&b->first), *next; h; h = next) {
        next = h->next;
        if (h->number != fd)
            continue;
        change_number(h);
        if (h->number < 0)
            continue; /* it ends, with what it has */
        leave(b, h);
        store_relaxed(&h->home, -1);
        h->next = moved;
        moved = h;
    }
    lock_release(&b->lock);
    for (struct hold *next; moved; moved = next) {
        next = moved->next;
        enter(moved, moved->number);
    }
}

void hold_closing_end(int fd)
{
    if (fd >= 0)
        sub_seq(&buckets[(unsigned)fd % BUCKETS].closing, 1);
}

void hold_after_fork(void)
{
    for (unsigned i = 0; i < BUCKETS; i++) {
        lock_init(&buckets[i].lock);
        store_relaxed(&buckets[i].closing, 0);
        store_relaxed(&buckets[i].first, NULL);
    }
    for (unsigned i = 0; i < MOST; i++) {
        int fd = load_relaxed(&duplicates[i]) - 1;
        if (fd >= 0)
            sys_call(SYS_close, fd);
        store_relaxed(&duplicates[i], 0);
    }
}
