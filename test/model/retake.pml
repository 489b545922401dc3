/*
 * "A worker sits in a system call, the monitor takes its proc": proc_retake (lib/sched/proc.c) against
 * runtime_enter, runtime_leave and runtime_enter_slow (lib/sched/sched.h, lib/sched/park.c).
 *
 * The worker stores in_runtime and then loads retake without a fence between the two; x86 may let the
 * load pass the store. Each store of the worker's to in_runtime therefore goes through a store buffer
 * of one entry that drains whenever it likes. The monitor's membarrier drains it. Locked instructions
 * and stores of the monitor's are followed by its own barrier and modelled as immediate.
 *
 * Checked: a proc is never used by two (owner), and nobody waits for ever (no invalid end state).
 * Mutations that must fail: NO_BARRIER (no membarrier), NO_LOOK (the monitor does not look at
 * in_runtime after it), NO_WAIT (the worker that sees retake does not wait for the lock).
 */
#define NOBODY  0
#define WORKER  1
#define MONITOR 2
#define ROUNDS  3

bit in_runtime, buffered, buffer; /* the worker's store buffer: buffered says that it holds one */
bit retake, retake_lock;
bit has_proc = 1; /* w->proc != NULL */
byte owner = WORKER;
byte taken;
bit worker_done;

inline store_in_runtime(value)
{
    atomic {
        if
        :: buffered -> in_runtime = buffer /* first in, first out */
        :: else
        fi;
        buffer = value;
        buffered = 1
    }
}

inline drain()
{
    d_step {
        if
        :: buffered -> in_runtime = buffer; buffered = 0
        :: else
        fi
    }
}

active proctype store_buffer()
{
end:
    do
    :: atomic { buffered -> in_runtime = buffer; buffered = 0 }
    :: worker_done && !buffered -> break
    od
}

inline use_proc()
{
    /* what a fiber does inside the runtime: its queue, its timers */
    assert(has_proc);
    assert(owner == WORKER)
}

active proctype worker()
{
    byte round;
    for (round : 1 .. ROUNDS) {
        /* transition "enter" */
        store_in_runtime(1);
        if
        :: retake == 0 -> skip /* fast path */
        :: else ->
#ifndef NO_WAIT
            /* runtime_enter_slow: the locked instruction drains the buffer */
            atomic { retake_lock == 0 -> retake_lock = 1 };
            drain();
#endif
            if
            :: has_proc -> retake = 0
            :: else ->
                /* proc_take_idle_locked, or the global queue and a turn on another worker */
                retake = 0;
                atomic { owner == NOBODY -> owner = WORKER; has_proc = 1 }
            fi;
#ifndef NO_WAIT
            retake_lock = 0
#endif
        fi;
        use_proc();
        use_proc();
        /* runtime_leave, then the program's code or a system call */
        store_in_runtime(0)
    }
    worker_done = 1
}

active proctype monitor()
{
    bit seen;
end:
    do
    :: taken < ROUNDS ->
        /* transition "retake" */
        atomic { retake_lock == 0 -> retake_lock = 1 };
        if
        :: has_proc && in_runtime == 0 ->
            retake = 1;
#ifndef NO_BARRIER
            drain();
#endif
#ifdef NO_LOOK
            seen = 0;
#else
            seen = in_runtime;
#endif
            if
            :: seen -> retake = 0
            :: else ->
                has_proc = 0;
                owner = MONITOR;
                taken++
            fi
        :: else
        fi;
        retake_lock = 0;
        if
        :: owner == MONITOR ->
            /* handoff_proc: another worker runs with it for a while and lets it go idle */
            owner = NOBODY
        :: else
        fi
    :: worker_done -> break
    :: taken == ROUNDS -> break
    od
}
