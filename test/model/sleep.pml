/*
 * Who holds a proc: workers that go to sleep with theirs, wake by themselves (a completion on their
 * ring, a timer), are woken with it, lose it to another worker or to the monitor, and wait as spares.
 * sleep_idle, woken_locked, sleep_on_spare_list, sched_wake_one (lib/sched/sched.c),
 * proc_take_idle_locked, proc_retake (proc.c), runtime_enter_slow (park.c), handoff_proc (worker.c).
 * One proc and two workers, so that they always quarrel over it; retake.pml has the way into and out of
 * the runtime, so taking the proc of a worker that runs the program is one step here.
 *
 * Checked: the proc has one holder; a worker that wakes by itself and still owns the proc finds it
 * idle (the panic in woken_locked); a given proc is not forgotten (no invalid end state: somebody
 * can always run).
 * Mutations that must fail: LATE_GIVE (sched_wake_one gives the proc after it has released
 * sched.lock), NO_SPARE_CHECK (a sleeper that wakes does not ask whether the proc is still its own).
 */
#define NONE   2
#define STEPS  6

byte proc_worker = 0;  /* p->worker */
bit proc_idle;         /* on sched.idle */
bit has[2];            /* w->proc != NULL */
bit wake[2];           /* WAKE_PROC */
bit spare[2];
byte holder = NONE;    /* who runs with the proc */
bit program[2];        /* runs the program's code, or sits in a system call */
bit locked;
byte steps;

inline lock() { atomic { locked == 0 -> locked = 1 } }
inline unlock() { locked = 0 }

inline hold()
{
    atomic {
        assert(holder == NONE);
        assert(has[me]);
        assert(!proc_idle);
        holder = me
    }
}

inline give(w)
{
    d_step { has[w] = 1; proc_worker = w; wake[w] = 1 }
}

inline take_idle(got)
{
    d_step {
        got = 0;
        if
        :: proc_idle ->
            proc_idle = 0;
            if
            :: proc_worker != NONE -> has[proc_worker] = 0; spare[proc_worker] = 1
            :: else
            fi;
            has[me] = 1;
            proc_worker = me;
            got = 1
        :: else
        fi
    }
}

inline sleep_on_spare_list()
{
    atomic { wake[me] -> wake[me] = 0 }
}

proctype worker(byte me; bit starts)
{
    bit got;
    if
    :: starts -> has[me] = 1; hold(); goto running
    :: else -> goto without
    fi;

running:
    if
    :: goto asleep
    :: program[me] = 1; /* runs a fiber's code: the monitor may take the proc */
        /* runtime_enter; the slow path if it was taken */
        atomic { program[me] = 0; got = has[me] };
        if
        :: got -> goto running
        :: else -> goto without
        fi
    fi;

asleep: /* sleep_idle */
    lock();
    atomic { holder = NONE; proc_idle = 1 };
    unlock();
again:
    if
    :: wake[me]
    :: steps < STEPS -> steps++ /* its ring wakes it */
    fi;
    lock();
    if
    :: wake[me] -> wake[me] = 0; unlock(); hold(); goto running
#ifndef NO_SPARE_CHECK
    :: !wake[me] && !has[me] -> unlock(); sleep_on_spare_list(); hold(); goto running
    :: !wake[me] && has[me] ->
#else
    :: !wake[me] ->
#endif
        if
        :: unlock(); goto again /* few completions: passed on */
        :: /* proc_reclaim_locked */
            assert(proc_idle);
            proc_idle = 0;
            unlock();
            hold();
            goto running
        fi
    fi;

without: /* runtime_enter_slow, then schedule() without a proc */
    lock();
    if
    :: take_idle(got)
    :: got = 0 /* sleep_as_spare with nothing in the global queue */
    fi;
    if
    :: got -> unlock(); hold(); goto running
    :: else -> spare[me] = 1; unlock(); sleep_on_spare_list(); hold(); goto running
    fi
}

/* sched_wake_one and handoff_proc by whoever; the monitor. */
active proctype others()
{
    byte w;
    bit taken;
end:
    do
    :: /* sched_wake_one */
        lock();
        w = NONE;
        taken = 0;
        if
        :: proc_idle ->
            proc_idle = 0;
            taken = 1;
            if
            :: proc_worker != NONE -> w = proc_worker
            :: else ->
                if
                :: spare[0] -> w = 0; spare[0] = 0
                :: spare[1] -> w = 1; spare[1] = 0
                :: else
                fi
            fi;
#ifndef LATE_GIVE
            if
            :: w != NONE -> give(w)
            :: else
            fi
#endif
        :: else
        fi;
        unlock();
#ifdef LATE_GIVE
        if
        :: taken && w != NONE -> give(w)
        :: else
        fi;
#endif
        if
        :: taken && w == NONE -> lock(); proc_idle = 1; unlock() /* handoff_proc: no new worker */
        :: else
        fi
    :: /* the monitor: proc_retake, handoff_proc */
        taken = 0;
        atomic {
            if
            :: holder != NONE && program[holder] ->
                has[holder] = 0;
                proc_worker = NONE;
                holder = NONE;
                taken = 1
            :: else
            fi
        };
        if
        :: taken ->
            lock();
            if
            :: spare[0] -> spare[0] = 0; give(0)
            :: spare[1] -> spare[1] = 0; give(1)
            :: else -> proc_idle = 1
            fi;
            unlock()
        :: else
        fi
    od
}

init { atomic { run worker(0, 1); run worker(1, 0) } }
