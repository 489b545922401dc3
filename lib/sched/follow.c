/* How many CPUs the program may use, while it runs: the affinity mask (taskset -a, cpusets) and the
 * cgroup's quota may change.
 *
 * Every PERIOD, unless RADDLE_PROCS fixed the number, the monitor counts again. More: procs are made
 * and put on the idle list, where the next wake-up finds them. Fewer: procs are not taken away one by
 * one; proc_cap is lowered, nobody takes or wakes an idle proc beyond it, and while more run than that,
 * `over` makes a worker that comes by its scheduler pass its fibers on and go to sleep (step_down). A
 * fiber that does not come by is stopped (look_at_proc).
 *
 * The mask is that of the monitor's own kernel thread, which has the mask that the activating thread
 * had and is part of whatever is moved as a whole. Only the monitor calls follow_look. Invariant:
 * nprocs grows only, under sched.lock, after the new proc is whole; 1 <= proc_cap <= nprocs. */
#include "sched/internal.h"

#define PERIOD (200 * NSEC_PER_MSEC)

static uint32_t (*count_cpus)(void);
static uint64_t last;

void follow_start(uint32_t (*count)(void))
{
    count_cpus = count;
    last = timer_now();
}

static void grow(uint32_t n)
{
    lock_acquire(&sched.lock);
    for (uint32_t i = load_relaxed(&sched.nprocs); i < n && i < sched.room; i++) {
        struct proc *p = &sched.procs[i];
        p->id = i;
        timer_heap_init(&p->timers);
        store_release(&sched.nprocs, i + 1); /* before it counts as idle: see share_room */
        proc_release_locked(p);
    }
    lock_release(&sched.lock);
}

void follow_look(uint64_t now)
{
    if (count_cpus && now - last >= PERIOD) {
        last = now;
        uint32_t n = count_cpus(), cap = load_relaxed(&sched.proc_cap);
        if (n != cap) {
            grow(n);
            if (n > load_relaxed(&sched.nprocs))
                n = load_relaxed(&sched.nprocs);
            store_relaxed(&sched.proc_cap, n);
            store_relaxed(&sched.proc_limit, n); /* share.c starts afresh */
        }
    }
    bool over = sched_over();
    if (over != load_relaxed(&sched.over))
        store_relaxed(&sched.over, over);
}
