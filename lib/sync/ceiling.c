/* Mutexes with a priority ceiling (pthread_mutexattr_setprotocol(3), PTHREAD_PRIO_PROTECT).
 *
 * The lock word is glibc's: the ceiling above bit 19, below it 0 free, 1 held, 2 held and somebody may
 * wait. Who locks one runs at least at its ceiling until it unlocks; with several, at the highest. That
 * is a property of a kernel thread. The threads that are allowed to lock such a mutex have a real-time
 * policy (for others the kernel refuses the priority, and the lock is refused with EINVAL, as natively),
 * and threads with a policy of their own have a kernel thread of their own.
 *
 * Invariant: struct ceilings counts, for each priority, the mutexes with that ceiling which the thread
 * holds or is about to take; its kernel thread has the highest of them, or base.
 * Called on the program's stacks, outside the runtime. */
#include "sync/sync.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sys/mman.h>
#include "arch/syscall.h"

#define SHIFT    19
#define STATE    ((1u << SHIFT) - 1)
#define PRIORITY 100 /* the kernel's are 1 to 99 */
#define NONE     (-1)

struct ceilings {
    int policy, base, highest;
    uint16_t count[PRIORITY];
};

static struct ceilings *ceilings_of(struct fiber *self)
{
    if (!self->ceilings) {
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return NULL;
        self->ceilings = p;
        self->ceilings->highest = NONE;
    }
    return self->ceilings;
}

void ceiling_end(struct fiber *self)
{
    if (self->ceilings)
        munmap(self->ceilings, 4096);
    self->ceilings = NULL;
}

/* Of the calling thread's kernel thread, which must be its own. */
static long set_priority(struct fiber *self, int policy, int priority)
{
    struct sched_param p = { .sched_priority = priority };
    if (policy != SCHED_FIFO && policy != SCHED_RR)
        return priority ? -EINVAL : 0; /* as the kernel */
    if (!(load_relaxed(&self->flags) & FIBER_DIRECT)) {
        /* One of many threads in a process that has a real-time policy altogether. */
        int err = sync_real.bind ? sync_real.bind(self) : 0;
        if (err || !sync_real.bind)
            return err;
    }
    return sys_call(SYS_sched_setscheduler, 0, policy, &p);
}

/* One mutex less with this ceiling, one more with that (NONE: none). */
static int change(struct fiber *self, int from, int to)
{
    struct ceilings *c = ceilings_of(self);
    if (!c)
        return -ENOMEM;
    if (c->highest == NONE) {
        struct sched_param p = { 0 };
        c->policy = (int)sys_call(SYS_sched_getscheduler, 0);
        sys_call(SYS_sched_getparam, 0, &p);
        c->base = p.sched_priority;
    }
    if (to != NONE) {
        if (to < 1 || to >= PRIORITY || c->base > to)
            return -EINVAL;
        if (c->count[to] == UINT16_MAX)
            return -EAGAIN;
        c->count[to]++;
    }
    if (from != NONE)
        c->count[from]--;
    int highest = PRIORITY - 1;
    while (highest > 0 && !c->count[highest])
        highest--;
    if (!highest)
        highest = NONE;
    int before = c->highest > c->base ? c->highest : c->base,
        now = highest > c->base ? highest : c->base;
    if (before != now) {
        long r = set_priority(self, c->policy, now);
        if (r < 0) {
            if (to != NONE)
                c->count[to]--;
            if (from != NONE)
                c->count[from]++;
            return (int)r;
        }
    }
    c->highest = highest;
    return 0;
}

bool ceiling_has(struct fiber *self, int *policy, int *priority)
{
    struct ceilings *c = self->ceilings;
    if (!c || c->highest == NONE)
        return false;
    *policy = c->policy;
    *priority = c->base;
    return true;
}

int ceiling_base(struct fiber *self, int policy, int priority)
{
    struct ceilings *c = self->ceilings;
    long r = set_priority(self, policy, priority > c->highest ? priority : c->highest);
    if (r < 0)
        return (int)r;
    c->policy = policy;
    c->base = priority;
    return 0;
}

static bool owned(struct mutex *m, struct fiber *self)
{
    if (m->kind & MUTEX_SHARED)
        return load_relaxed(&m->owner) == shared_owner() && m->users == self->tid;
    return load_relaxed(&m->owner) == self->tid;
}

static int wait_word(struct mutex *m, uint32_t seen, uint64_t deadline)
{
    if (m->kind & MUTEX_SHARED)
        return shared_wait_on(&m->lock, seen, deadline, PARK_MUTEX);
    int err = waitq_wait(&m->lock, seen, WAITQ_ANY, deadline, PARK_MUTEX);
    if (err == -EINTR)
        sched_wait_interrupted(fiber_current());
    return err == -ETIMEDOUT ? err : 0;
}

static void wake(struct mutex *m, bool shared, int n)
{
    if (shared)
        shared_wake(&m->lock, n);
    else
        waitq_wake(m, n, WAITQ_ANY);
}

/* Takes the word with the ceiling that it has when it is had; *ceiling changes with it if obey. */
static int take(struct mutex *m, struct fiber *self, uint64_t deadline, bool trying, bool obey,
                int *ceiling)
{
    uint32_t held = 1;
    for (;;) {
        uint32_t word = load_relaxed(&m->lock);
        int now = (int)(word >> SHIFT);
        if (obey && now != *ceiling) {
            int err = change(self, *ceiling, now);
            if (err)
                return err;
        }
        *ceiling = now;
        if (!(word & STATE)) {
            if (cas_acquire(&m->lock, &word, word | held)) /* partner: ceiling_unlock */
                return 0;
            continue;
        }
        if (trying)
            return -EBUSY;
        uint32_t awaited = (word & ~STATE) | 2;
        if (word != awaited && !cas_acquire(&m->lock, &word, awaited))
            continue;
        held = 2; /* others may wait as we did */
        if (wait_word(m, awaited, deadline))
            return -ETIMEDOUT;
    }
}

int ceiling_lock(struct mutex *m, uint64_t deadline, bool trying)
{
    struct fiber *self = fiber_current();
    if (owned(m, self)) {
        switch (m->kind & MUTEX_TYPE) {
        case PTHREAD_MUTEX_RECURSIVE:
            return mutex_again(m);
        case PTHREAD_MUTEX_ERRORCHECK:
            return trying ? -EBUSY : -EDEADLK;
        }
    }
    int ceiling = NONE;
    int err = take(m, self, deadline, trying, true, &ceiling);
    if (err) {
        if (ceiling != NONE)
            change(self, ceiling, NONE);
        return err;
    }
    m->count = 1;
    if (m->kind & MUTEX_SHARED)
        m->users = self->tid;
    store_relaxed(&m->owner, m->kind & MUTEX_SHARED ? shared_owner() : self->tid);
    return 0;
}

int ceiling_unlock(struct mutex *m)
{
    struct fiber *self = fiber_current();
    int type = m->kind & MUTEX_TYPE;
    bool shared = m->kind & MUTEX_SHARED;
    if (type == PTHREAD_MUTEX_RECURSIVE || type == PTHREAD_MUTEX_ERRORCHECK) {
        if (!owned(m, self) || !(load_relaxed(&m->lock) & STATE))
            return -EPERM;
        if (type == PTHREAD_MUTEX_RECURSIVE && --m->count)
            return 0;
    }
    store_relaxed(&m->owner, 0);
    if (shared)
        m->users = 0;
    uint32_t word = load_relaxed(&m->lock);
    while (!cas_seq(&m->lock, &word, word & ~STATE)) /* the last touch */
        ;
    if ((word & STATE) > 1)
        wake(m, shared, 1);
    if (self->ceilings)
        change(self, (int)(word >> SHIFT), NONE);
    return 0;
}

int ceiling_set(struct mutex *m, int ceiling, int *old)
{
    struct fiber *self = fiber_current();
    if (!(m->kind & MUTEX_PROTECT) || ceiling < 1 || ceiling >= PRIORITY)
        return -EINVAL;
    bool mine = false, shared = m->kind & MUTEX_SHARED;
    if (owned(m, self)) {
        if ((m->kind & MUTEX_TYPE) == PTHREAD_MUTEX_ERRORCHECK)
            return -EDEADLK;
        mine = (m->kind & MUTEX_TYPE) == PTHREAD_MUTEX_RECURSIVE;
    }
    int before = (int)(load_relaxed(&m->lock) >> SHIFT);
    int err = mine ? change(self, before, ceiling)
                   : take(m, self, TIMER_NEVER, false, false, &before); /* whatever our priority */
    if (err)
        return err;
    if (old)
        *old = before;
    uint32_t state = mine ? load_relaxed(&m->lock) & STATE : 0;
    store_seq(&m->lock, (uint32_t)ceiling << SHIFT | state);
    wake(m, shared, INT_MAX); /* they wait for a word with the old ceiling */
    return 0;
}
