/* Binding: giving a fiber a kernel thread of its own, because it asks for what only one has.
 *
 * The order is: make a kernel thread, set on it what was asked for, and only then let the fiber go
 * there; so what the kernel refuses changes nothing, and the fiber never runs without it. A request
 * after which the kernel thread is no different from all others of the process needs no binding, and
 * the kernel thread is dismissed. The fiber moves at once if it asks for itself; else it is marked
 * (ATTENTION_MOVE), which it sees when it leaves the runtime, that is, before it runs any of the
 * program's code after a wait.
 *
 * Invariants: carrier is set once in a life, under the fiber's lock and not after `ended`; while the
 * lock is held and the fiber has not ended, the carrier's kernel thread exists, so its tid means
 * nobody else. Called on the program's stacks, outside the runtime. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include "arch/syscall.h"
#include "base/option.h"
#include "handoff/carrier.h"
#include "thread/internal.h"

#define MASK_WORDS 128

/* struct sched_attr of the kernel as far as it goes. */
struct scheduling {
    unsigned char bytes[64];
};

static long get_affinity(uint32_t ktid, uint64_t mask[MASK_WORDS])
{
    memset(mask, 0, MASK_WORDS * sizeof *mask);
    return sys_call(SYS_sched_getaffinity, ktid, MASK_WORDS * sizeof *mask, mask);
}

static bool same_as_default(uint32_t ktid)
{
    uint64_t a[MASK_WORDS], b[MASK_WORDS];
    struct scheduling s = { { 0 } }, t = { { 0 } };
    uint32_t other = monitor_ktid();
    get_affinity(ktid, a);
    get_affinity(other, b);
    sys_call(SYS_sched_getattr, ktid, &s, sizeof s, 0);
    sys_call(SYS_sched_getattr, other, &t, sizeof t, 0);
    return !memcmp(a, b, sizeof a) && !memcmp(&s, &t, sizeof s) &&
           sys_call(SYS_ioprio_get, 1, ktid) == sys_call(SYS_ioprio_get, 1, other);
}

/* On a carrier that is there already. -EAGAIN: there is none. */
static long apply_to_carrier(struct fiber *self, struct fiber *f, thread_setter *set, void *arg)
{
    long r = -EAGAIN;
    runtime_enter(self);
    lock_acquire(&f->lock);
    if (f->ended)
        r = -ESRCH;
    else if (load_relaxed(&f->carrier))
        r = set(load_relaxed(&f->carrier)->ktid, arg);
    lock_release(&f->lock);
    runtime_leave(self);
    return r;
}

/* -EAGAIN: somebody else was faster, or it has ended. */
static int give_carrier(struct fiber *self, struct fiber *f, struct worker *c)
{
    int r = 0;
    runtime_enter(self);
    lock_acquire(&f->lock);
    if (f->ended || load_relaxed(&f->carrier))
        r = -EAGAIN;
    else
        store_release(&f->carrier, c);
    lock_release(&f->lock);
    if (!r && f != self) {
        atomic_fetch_or_explicit(&f->attention, ATTENTION_MOVE, memory_order_seq_cst);
        sched_barrier(); /* partners: runtime_leave, fiber_park_interruptible */
        /* Signals that it waits for may be sent to its kernel thread alone. */
        bool waits = *(struct temporary *volatile *)&f->temporary ||
                     *(volatile uint8_t *)&f->park_reason == PARK_SIGNAL;
        if (!waits || !fiber_interrupt(self->worker, f))
            sched_nudge(f);
    }
    runtime_leave(self);
    if (!r && f == self)
        carrier_move(self);
    return r;
}

long thread_apply(struct fiber *f, thread_setter *set, void *arg, bool always)
{
    struct fiber *self = fiber_current();
    for (;;) {
        long r = apply_to_carrier(self, f, set, arg);
        if (r != -EAGAIN)
            return r;
        struct worker *c = carrier_make(false);
        if (!c)
            return -ENOMEM;
        r = set(c->ktid, arg);
        if (r >= 0 && (always || !same_as_default(c->ktid))) {
            if (!give_carrier(self, f, c))
                return r;
            r = -EAGAIN;
        }
        carrier_dismiss(c);
        if (r != -EAGAIN)
            return r;
    }
}

static long nothing(uint32_t ktid, void *arg)
{
    (void)ktid;
    (void)arg;
    return 0;
}

int thread_bind(struct fiber *f, bool apart)
{
    int err = (int)thread_apply(f, nothing, NULL, true);
    if (!err && apart)
        f->apart = true;
    return err;
}

long thread_ask(struct fiber *f, thread_setter *get, void *arg)
{
    long r = apply_to_carrier(fiber_current(), f, get, arg);
    return r == -EAGAIN ? get(monitor_ktid(), arg) : r;
}

/* ---- by name ---- */

static bool matches(const char *pattern, const char *name)
{
    for (; *pattern; pattern++, name++) {
        if (*pattern == '*') {
            for (;; name++) {
                if (matches(pattern + 1, name))
                    return true;
                if (!*name)
                    return false;
            }
        }
        if (!*name || (*pattern != '?' && *pattern != *name))
            return false;
    }
    return !*name;
}

void thread_named(struct fiber *f, const char *name)
{
    if (options.bound == BOUND_NAMED && matches(option_bound_pattern, name))
        thread_bind(f, false);
}

/* ---- at creation ---- */

bool thread_inherits(struct fiber *creator)
{
    struct worker *c = load_acquire(&creator->carrier);
    if (c && !(load_relaxed(&creator->flags) & FIBER_BOUND))
        carrier_move(creator);
    return c && (creator->apart || !same_as_default(c->ktid));
}

bool thread_wants_own(const struct thread_attributes *a)
{
    if (a->explicit_policy) {
        uint32_t other = monitor_ktid();
        struct sched_param param = { 0 };
        sys_call(SYS_sched_getparam, other, &param);
        if (sys_call(SYS_sched_getscheduler, other) != a->policy ||
            param.sched_priority != a->param.sched_priority)
            return true;
    }
    if (!a->has_affinity)
        return false;
    uint64_t mask[MASK_WORDS];
    get_affinity(monitor_ktid(), mask);
    return memcmp(mask, a->affinity, sizeof mask) != 0;
}

struct worker *thread_carrier(const struct thread_attributes *a, bool inherit, int *err)
{
    struct worker *c = carrier_make(inherit);
    *err = -EAGAIN;
    if (!c)
        return NULL;
    long r = 0;
    if (a->has_affinity)
        r = sys_call(SYS_sched_setaffinity, c->ktid, sizeof a->affinity, a->affinity);
    if (r >= 0 && a->explicit_policy)
        r = sys_call(SYS_sched_setscheduler, c->ktid, a->policy, &a->param);
    *err = r < 0 ? (int)r : 0;
    if (r < 0 || (!inherit && same_as_default(c->ktid))) {
        carrier_dismiss(c);
        return NULL;
    }
    return c;
}
