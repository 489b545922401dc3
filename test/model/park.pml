/*
 * Park and ready (lib/sched/park.c), and a worker's way to sleep against fiber_ready's decision whom to
 * wake (lib/sched/sched.c): fibers that wait on one object, a fiber that makes them ready, three
 * workers that run them. Every worker has a proc of its own; who may take whose is in sleep.pml.
 *
 * A fiber's program is a small state machine, so that it can stop on one worker and go on on another.
 * What a worker puts on its ring goes through a store buffer of one entry, which fences and locked
 * instructions drain: x86 lets the load of nidle pass that store.
 *
 * Checked: no fiber runs twice at once or before its registers are saved; every wait that is answered
 * ends; and without the monitor's help nobody sleeps while a fiber on a ring waits to run: fibers
 * "compute" until the rings were emptied by others or everybody is busy, which is an invalid end state
 * if nobody comes. (A lone fiber in the next slot, and one that yields, are left to their proc by design; the
 * monitor's move_next and wake-ups are for those.)
 * Mutations that must fail: EARLY_UNLOCK (the wait object's lock is released before the switch),
 * NO_FENCE (fiber_ready reads nidle without a fence), NO_LOOK (a worker does not look again after it
 * has put its proc on the idle list), NO_CHAIN (a searcher that finds work wakes no other;
 * needs three consumers), LATE_STOP (a searcher that
 * goes to sleep stops counting as one only after sched.lock: a waker that has counted it anew in
 * between is forgotten, the count never falls to zero again, and nobody is ever woken).
 */
#define WORKERS   3
#ifndef CONSUMERS
#define CONSUMERS 2
#define ITEMS     2 /* for each consumer */
#else
#define ITEMS     1
#endif
#define FIBERS    (CONSUMERS + 1) /* the last one produces */
#define NONE      7

/* fibers */
bit saved[FIBERS], running[FIBERS];
byte at[FIBERS];  /* program counter: what it does when it runs again */
byte did[FIBERS]; /* items consumed or produced */
byte done;

/* the wait object */
byte lock_owner = NONE; /* worker that holds it */
bit queued[CONSUMERS];
byte items;

/* procs */
byte next_slot[WORKERS] = NONE;
chan ring[WORKERS] = [FIBERS] of { byte };
byte buffered[WORKERS] = NONE; /* in the store buffer: on the ring for its owner only */

/* idle list; sched.lock is an atomic block */
bit idle[WORKERS], given[WORKERS], spinning[WORKERS];
byte nidle, nspinning;

#define all_done (done == FIBERS)
#define on_rings (len(ring[0]) + len(ring[1]) + len(ring[2]))

inline drain(w)
{
    d_step {
        if
        :: buffered[w] != NONE -> ring[w]!buffered[w]; buffered[w] = NONE
        :: else
        fi
    }
}

inline wake_one()
{
    if
    :: nidle > 0 ->
        if
        :: atomic { nspinning == 0 -> nspinning = 1 };
            drain(me); /* a locked instruction */
            atomic {
                if
                :: idle[0] -> idle[0] = 0; nidle--; spinning[0] = 1; given[0] = 1
                :: idle[1] -> idle[1] = 0; nidle--; spinning[1] = 1; given[1] = 1
                :: idle[2] -> idle[2] = 0; nidle--; spinning[2] = 1; given[2] = 1
                :: else -> nspinning--
                fi
            }
        :: nspinning != 0
        fi
    :: else
    fi
}

inline put_ring(f)
{
    drain(me); /* one entry: the older store has left it */
    buffered[me] = f
}

/* fiber_ready(f) by the fiber or scheduler on worker me */
inline ready(f)
{
    displaced = next_slot[me];
    next_slot[me] = f;
    if
    :: displaced != NONE -> put_ring(displaced)
    :: else
    fi;
    if
    :: displaced != NONE || buffered[me] != NONE || len(ring[me]) > 0 ->
#ifndef NO_FENCE
        drain(me);
#endif
        if
        :: nidle > 0 && nspinning == 0 -> wake_one()
        :: else
        fi
    :: else
    fi
}

/* the switch away from f: its registers are saved, the next context runs the post action */
inline save(f)
{
    d_step { saved[f] = 1; running[f] = 0 }
}

inline release()
{
    assert(lock_owner == me);
    drain(me);
    lock_owner = NONE
}

inline compute()
{
    ((on_rings == 0 && buffered[me] == NONE) || nidle == 0)
}

/* A consumer takes an item or parks; the producer hands one to a waiter or leaves it. */
inline execute(f)
{
    d_step {
        assert(!running[f]);
        assert(saved[f]);
        running[f] = 1;
        saved[f] = 0
    }
    if
    :: f < CONSUMERS ->
        do
        :: at[f] == 1 -> compute(); did[f]++; at[f] = 0 /* an item was handed over */
        :: at[f] == 0 && did[f] == ITEMS -> done++; save(f); break
        :: at[f] == 0 && did[f] < ITEMS ->
            atomic { lock_owner == NONE -> lock_owner = me };
            drain(me);
            if
            :: items > 0 -> items--; did[f]++; release()
            :: else ->
                queued[f] = 1;
                at[f] = 1;
#ifdef EARLY_UNLOCK
                release();
                save(f);
#else
                save(f);
                release(); /* post action */
#endif
                break
            fi
        od
    :: else ->
        do
        :: did[f] == CONSUMERS * ITEMS -> done++; save(f); break
        :: else ->
            atomic { lock_owner == NONE -> lock_owner = me };
            drain(me);
            did[f]++;
            if
            :: queued[0] -> queued[0] = 0; release(); ready(0)
            :: queued[1] -> queued[1] = 0; release(); ready(1)
#if CONSUMERS > 2
            :: queued[2] -> queued[2] = 0; release(); ready(2)
            :: !queued[0] && !queued[1] && !queued[2] -> items++; release()
#else
            :: !queued[0] && !queued[1] -> items++; release()
#endif
            fi;
            if
            :: compute()
            :: did[f] < CONSUMERS * ITEMS
            fi
        od
    fi
}

proctype store_buffers()
{
end:
    do
    :: atomic { buffered[0] != NONE -> ring[0]!buffered[0]; buffered[0] = NONE }
    :: atomic { buffered[1] != NONE -> ring[1]!buffered[1]; buffered[1] = NONE }
    :: atomic { buffered[2] != NONE -> ring[2]!buffered[2]; buffered[2] = NONE }
    :: all_done && buffered[0] == NONE && buffered[1] == NONE && buffered[2] == NONE -> break
    od
}

inline stop_spinning()
{
    if
    :: spinning[me] -> d_step { spinning[me] = 0; nspinning-- }
    :: else
    fi
}

proctype worker(byte me)
{
    byte f = NONE, displaced = NONE;
    bit searching;
    do
    :: all_done -> break
    :: else ->
        /* find_runnable: own queue, then the other's ring */
        f = NONE;
        atomic {
            if
            :: next_slot[me] != NONE -> f = next_slot[me]; next_slot[me] = NONE
            :: next_slot[me] == NONE && len(ring[me]) > 0 -> ring[me]?f
            :: next_slot[me] == NONE && len(ring[me]) == 0 && buffered[me] != NONE ->
                f = buffered[me]; buffered[me] = NONE
            :: else
            fi
        };
        if
        :: f == NONE ->
            if
            :: !spinning[me] -> d_step { spinning[me] = 1; nspinning++ }
            :: else
            fi;
            drain(me);
            atomic {
                if
                :: len(ring[0]) > 0 -> ring[0]?f
                :: len(ring[1]) > 0 -> ring[1]?f
                :: len(ring[2]) > 0 -> ring[2]?f
                :: else
                fi
            }
        :: else
        fi;
        if
        :: f != NONE ->
            /* found_work */
            if
            :: spinning[me] ->
                stop_spinning();
                drain(me);
#ifndef NO_CHAIN
                if
                :: on_rings > 0 -> wake_one()
                :: else
                fi
#endif
            :: else
            fi;
            execute(f)
        :: else ->
            /* sleep_idle */
            searching = spinning[me];
            drain(me);
#ifdef LATE_STOP
            d_step { idle[me] = 1; nidle++ };
            stop_spinning();
#else
            d_step { /* one section of sched.lock */
                idle[me] = 1;
                nidle++;
                if
                :: spinning[me] -> spinning[me] = 0; nspinning--
                :: else
                fi
            };
#endif
#ifndef NO_LOOK
            if
            :: on_rings > 0 ->
                atomic {
                    if
                    :: idle[me] && !given[me] ->
                        idle[me] = 0; nidle--;
                        if
                        :: searching -> spinning[me] = 1; nspinning++
                        :: else
                        fi
                    :: else
                    fi
                }
            :: else
            fi;
#endif
            if
            :: idle[me] || given[me] ->
                if
                :: atomic { given[me] -> given[me] = 0 }
                :: all_done
                fi
            :: else
            fi
        fi
    od
}

init {
    byte i;
    d_step {
        for (i : 0 .. FIBERS - 1) { saved[i] = 1 }
        for (i : 0 .. FIBERS - 1) { ring[0]!i }
    };
    atomic { run store_buffers(); run worker(0); run worker(1); run worker(2) }
}
