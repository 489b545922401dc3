/*
 * Ending a park early: fiber_park_interruptible against fiber_interrupt (lib/sched/park.c), beside a
 * waker that may answer the wait at the same moment.
 *
 * The parker publishes its interruption, a record on its own stack, with a plain store and then loads
 * attention: the store goes through a buffer that the interrupter's membarrier drains. The wait
 * object's lock is held from before the parker queues itself until its registers are saved.
 *
 * Checked: the parker always returns once it was interrupted, nobody makes it ready twice for one park
 * or touches the record after it is gone.
 * Mutations that must fail: NO_BARRIER (no membarrier), NO_LOOK (the parker does not look at attention),
 * NO_WAIT (the parker does not wait while its record is BUSY), TWO_READY (expire makes the fiber ready
 * without asking the wait object).
 */
#define NOTHING 0
#define RECORD  1
#define BUSY    2
#define ROUNDS  2

byte interruption, buffer;
bit buffered;
bit attention;
bit alive; /* the record is on the parker's stack */
bit locked, queued, saved, runnable;
byte woken; /* answers of the waker */
bit parker_done;

inline acquire() { atomic { locked == 0 -> locked = 1 } }
inline release() { assert(locked); locked = 0 }
inline drain()
{
    d_step {
        if
        :: buffered -> interruption = buffer; buffered = 0
        :: else
        fi
    }
}

active proctype store_buffer()
{
end:
    do
    :: atomic { buffered -> interruption = buffer; buffered = 0 }
    :: parker_done && !buffered -> break
    od
}

/* fiber_ready: by whoever took the fiber off the wait object */
inline ready()
{
    atomic {
        assert(saved);
        assert(!runnable);
        runnable = 1
    }
}

inline expire()
{
    assert(alive);
    acquire();
    if
    :: queued -> queued = 0; release(); ready()
#ifdef TWO_READY
    :: !queued -> release(); ready()
#else
    :: !queued -> release()
#endif
    fi
}

/* what the next context does: the registers are saved */
inline post() { saved = 1; release() }

active proctype parker()
{
    byte round;
    bit mine;
    for (round : 1 .. ROUNDS) {
        acquire();
        drain(); /* a locked instruction */
        queued = 1;
        alive = 1;
        d_step { buffer = RECORD; buffered = 1 };
        mine = 0;
#ifndef NO_LOOK
        if
        :: attention ->
            drain();
            atomic {
                if
                :: interruption == RECORD -> interruption = BUSY; mine = 1
                :: else
                fi
            }
        :: else
        fi;
#endif
        if
        :: mine ->
            attention = 0;
            post();
            expire();
            interruption = NOTHING
        :: else ->
            post()
        fi;
        /* switched away until somebody makes it ready */
        atomic { runnable -> runnable = 0; saved = 0 };
        drain();
        atomic {
            if
            :: interruption == RECORD -> interruption = NOTHING
            :: else
            fi
        };
#ifndef NO_WAIT
        (interruption != BUSY);
#endif
        alive = 0;
        attention = 0
    }
    parker_done = 1
}

/* May answer each wait, or not. */
active proctype waker()
{
end:
    do
    :: woken < ROUNDS ->
        acquire();
        woken++;
        if
        :: queued -> queued = 0; release(); ready()
        :: !queued -> release()
        fi
    :: break
    od
}

/* Interrupts as long as the parker is there: each park must end. */
active proctype interrupter()
{
    bit got;
    do
    :: parker_done -> break
    :: !parker_done && !attention ->
        attention = 1;
#ifndef NO_BARRIER
        drain();
#endif
        atomic {
            if
            :: interruption == RECORD -> interruption = BUSY; got = 1
            :: else -> got = 0
            fi
        };
        if
        :: got ->
            expire();
            interruption = NOTHING
        :: else
        fi
    od
}
