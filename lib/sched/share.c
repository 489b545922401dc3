/* How many procs run at once when the machine's CPUs are wanted by others too.
 *
 * A server beside its clients on a small machine is faster with fewer workers: a worker that the
 * kernel has put aside holds completions that nobody else can fetch (its ring is its own), and every
 * hand-over between half-busy workers is a context switch. With the CPUs to itself it wants all
 * procs. What tells the two apart is the time that our running workers spend waiting for a CPU, which
 * the kernel accounts (run_delay in schedstat).
 *
 * Every WINDOW while something runs: if the workers waited for more than a tenth of the time, and
 * fibers run only briefly at a time (a service, not a computation, which would lose its share of the
 * CPUs), one proc less may run. If the rest then waits for a quarter of the time, the others are too many
 * for us to make room for: all procs run again, and the experiment is not repeated for a while. When
 * the machine has idle CPU time again, one proc more may run. That those which are left never rest is no
 * reason: with one CPU for the clients and one for us, both are full. Without schedstat there is no limit.
 *
 * Only the monitor calls this, on its own stack. Invariant: 1 <= proc_limit <= proc_cap. The limit is
 * advice for waking workers; a running worker is never stopped, it goes to sleep when it has nothing
 * to do and is not woken beyond the limit. */
#include "sched/internal.h"

#include "arch/syscall.h"
#include "base/log.h"

#define WINDOW       (20 * NSEC_PER_MSEC)
#define SETTLE       (200 * NSEC_PER_MSEC) /* until requests in flight have moved to other rings */
#define HOT_WINDOWS  10 /* one after the other: a passing disturbance is no verdict */
#define SUCCESS      NSEC_PER_SEC
#define GROW_WINDOW  (200 * NSEC_PER_MSEC)
#define BACK_OFF_MIN (500 * NSEC_PER_MSEC)
#define BACK_OFF_MAX (60 * NSEC_PER_SEC)
#define BRIEF        (50 * NSEC_PER_USEC) /* average run of a fiber */
/* Work that may wait for a worker that is awake, rather than wake another: of completions that a worker
 * has just fetched, and of those that one passes on to sleep again. Counted in fibers, at most MOST. */
#define MAY_WAIT  (300 * NSEC_PER_USEC)
#define MOST_WAIT 64
#define MAY_PASS  (60 * NSEC_PER_USEC)
#define MOST_PASS 8

static struct {
    uint64_t since, cpu, delay, switches;
    uint64_t grow_since, idle_ticks;
    uint32_t hot; /* windows in a row in which the workers waited long */
    uint64_t no_shrink_until, back_off, shrunk_at;
} share;

void share_start(void)
{
    share = (__typeof__(share)){ .back_off = BACK_OFF_MIN };
    store_relaxed(&sched.proc_limit, sched.nprocs);
    store_relaxed(&sched.few, MOST_PASS);
    store_relaxed(&sched.backlog, MOST_WAIT);
}

static uint32_t at_most(uint64_t value, uint32_t most)
{
    return value < most ? (uint32_t)value : most;
}

/* How long a fiber runs decides for how many of them a wake-up is worth its price. */
static void weigh(uint64_t ran, uint64_t count)
{
    if (ran < NSEC_PER_MSEC / 4)
        return; /* next to nothing happened */
    store_relaxed(&sched.few, at_most(count * MAY_PASS / ran, MOST_PASS));
    store_relaxed(&sched.backlog, at_most(1 + count * MAY_WAIT / ran, MOST_WAIT));
}

static const char *number(const char *s, uint64_t *value)
{
    while (*s && (*s < '0' || *s > '9'))
        s++;
    for (*value = 0; *s >= '0' && *s <= '9'; s++)
        *value = *value * 10 + (uint64_t)(*s - '0');
    return s;
}

/* Adds a worker's time on a CPU and waiting for one, ns. */
static bool add_times(uint32_t ktid, uint64_t *cpu, uint64_t *delay)
{
    char path[64], text[128];
    uint64_t a, b;
    log_format(path, sizeof path, "/proc/self/task/%u/schedstat", ktid);
    if (reader_slurp(path, text, sizeof text) <= 0)
        return false;
    number(number(text, &a), &b);
    *cpu += a;
    *delay += b;
    return true;
}

/* Idle time of all CPUs, in clock ticks of 10 ms. */
static uint64_t machine_idle(void)
{
    char text[160];
    uint64_t value = 0;
    if (reader_slurp("/proc/stat", text, sizeof text) > 0) {
        const char *s = text; /* cpu user nice system idle ... */
        for (int i = 0; i < 4; i++)
            s = number(s, &value);
    }
    return value;
}

static void grow(uint64_t now)
{
    uint32_t limit = load_relaxed(&sched.proc_limit);
    if (limit >= load_relaxed(&sched.proc_cap) || now - share.grow_since < GROW_WINDOW)
        return;
    uint64_t idle = machine_idle();
    uint64_t idle_ns = (idle - share.idle_ticks) * 10 * NSEC_PER_MSEC;
    if (share.grow_since && idle_ns * 20 > 3 * (now - share.grow_since))
        store_relaxed(&sched.proc_limit, limit + 1);
    share.idle_ticks = idle;
    share.grow_since = now;
}

void share_look(uint64_t now)
{
    uint32_t cap = load_relaxed(&sched.proc_cap);
    if (cap == 1 || now - share.since < WINDOW)
        return;
    uint64_t cpu = 0, delay = 0, switches = 0;
    for (struct worker *w = load_acquire(&sched.workers); w; w = w->all)
        if (load_relaxed(&w->alive) && !add_times(w->ktid, &cpu, &delay)) {
            store_relaxed(&sched.proc_limit, cap);
            return;
        }
    for (uint32_t i = 0; i < sched.nprocs; i++)
        switches += sched.procs[i].stats.switches;
    uint64_t wall = now - share.since, ran = cpu - share.cpu, waited = delay - share.delay;
    uint64_t count = switches - share.switches;
    bool first = !share.since;
    share.since = now;
    share.cpu = cpu;
    share.delay = delay;
    share.switches = switches;
    if (first || wall > 10 * WINDOW) /* slept in between */
        return;
    uint32_t limit = load_relaxed(&sched.proc_limit);
    bool brief = count && ran / count < BRIEF;
    bool contended = waited * 10 > wall;
    share.hot = waited * 4 > wall ? share.hot + 1 : 0;
    bool no_help = share.hot >= HOT_WINDOWS && now - share.shrunk_at > SETTLE;
    if (limit < cap && now - share.shrunk_at > SUCCESS)
        share.back_off = BACK_OFF_MIN;
    store_relaxed(&sched.brief, brief);
    weigh(ran, count);
    if (limit < cap && (!brief || no_help)) {
        /* Fewer procs did not help, or it is a computation now. */
        store_relaxed(&sched.proc_limit, cap);
        share.no_shrink_until = now + share.back_off;
        share.back_off = share.back_off < BACK_OFF_MAX / 2 ? share.back_off * 2 : BACK_OFF_MAX;
    } else if (limit > 1 && brief && contended && now > share.no_shrink_until) {
        store_relaxed(&sched.proc_limit, limit - 1);
        share.shrunk_at = share.grow_since = now;
        share.idle_ticks = machine_idle();
    } else {
        grow(now);
    }
}
