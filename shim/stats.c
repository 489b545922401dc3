/* Counters for RADDLE_STATS: what happened, on stderr when the process ends.
 *
 * Called by the exiting thread after the program's own exit handlers, while other workers may still
 * run: everything is read without locks and is exact once they are quiet. */
#include "shim/calls.h"

#include "base/log.h"
#include "poller/poller.h"
#include "shim/deep.h"

static const char *const park_names[PARK_REASON_COUNT] = {
#define X(id, name) [PARK_##id] = name,
    PARK_REASONS(X)
#undef X
};

void stats_print(void)
{
    struct proc_stats sum = { 0 };
    for (uint32_t i = 0; i < sched.nprocs && sched.procs; i++) {
        struct proc_stats *s = &sched.procs[i].stats;
        sum.switches += s->switches;
        sum.steals += s->steals;
        for (int r = 0; r < PARK_REASON_COUNT; r++)
            sum.parks[r] += s->parks[r];
    }
    log_line("mode %s, poller %s, procs %u",
             runtime_mode == RUNTIME_ACTIVE    ? "fibers"
             : runtime_mode == RUNTIME_DORMANT ? "dormant"
                                               : "1:1",
             sched_poller ? sched_poller->name : "none", sched.nprocs);
    log_line("fibers created %lu, most alive at once %u", load_relaxed(&fiber_created),
             load_relaxed(&fiber_most));
    log_line("switches %lu, steals %lu, handoffs %lu, rescues %lu", sum.switches, sum.steals,
             load_relaxed(&sched.handoffs), load_relaxed(&sched.rescues));
    log_line("preemptions %lu, put off %lu", load_relaxed(&sched.preempts),
             load_relaxed(&sched.preempts_put_off));
    if (chaos_on)
        log_line("chaos: yields %lu, migrations %lu, to the end %lu, delays %lu, wake-ups %lu, "
                 "polls %lu, "
                 "stops %lu, procs taken %lu",
                 load_relaxed(&chaos_done[CHAOS_YIELD]), load_relaxed(&chaos_done[CHAOS_MIGRATE]),
                 load_relaxed(&chaos_done[CHAOS_HOG]), load_relaxed(&chaos_done[CHAOS_DELAY]),
                 load_relaxed(&chaos_done[CHAOS_WAKE]), load_relaxed(&chaos_done[CHAOS_POLL]),
                 load_relaxed(&chaos_done[CHAOS_PREEMPT]), load_relaxed(&chaos_done[CHAOS_TAKE]));
    log_line("moves to a ringless thread %lu, readied from outside %lu", load_relaxed(&sched.moves),
             load_relaxed(&sched.foreign_readies));
    log_line("workers %u, at most %u", load_relaxed(&sched.nworkers),
             load_relaxed(&sched.most_workers));
    for (int r = 0; r < PARK_REASON_COUNT; r++)
        if (sum.parks[r])
            log_line("parks %s %lu", park_names[r], sum.parks[r]);
    deep_stats();
    for (int i = 0; i < CALL_COUNT; i++)
        if (load_relaxed(&call_passed[i]))
            log_line("passed through %s %lu", call_names[i], load_relaxed(&call_passed[i]));
}
