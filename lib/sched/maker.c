/* The maker: one kernel thread that makes the others.
 *
 * libc's pthread_create takes locks of libc's (malloc's among them). Their holder may be a fiber that has
 * been stopped, or waits for its turn, while it waits for another such lock: so whoever calls
 * pthread_create must not hold a proc, nor be the one that hands procs on. The monitor, workers and
 * fibers inside the runtime therefore never make a kernel thread. They take one that is there, the
 * reserve: a worker on the spare list, asleep. Whoever takes the last one calls the maker, which makes the
 * next and may take its time.
 *
 * If there is none yet, or none can be had (the system's limit, RADDLE_MAX_WORKERS, locked memory), the
 * proc that wanted it is idle meanwhile: its fibers can be stolen, its timers are seen to by the monitor,
 * and sched.no_worker says so. The next worker that comes to be looks for work at once. After a failure the
 * maker tries again when it is called again, which the monitor does as long as fibers wait.
 *
 * The maker has what attributes the process gave its threads, so it also makes the carriers of threads
 * that asked for these (maker_do). Own stack and TCB (a libc thread, which setuid reaches), no signals.
 * In a fork's child there is none until the child activates the runtime. It begins when the runtime is
 * active, as idle workers look at the masks of fibers. If the system has no thread for it, the workers
 * that there are do it all. */
#include "sched/internal.h"

#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include "arch/syscall.h"
#include "libc/tcb.h"

#define MAKER_STACK (64 * 1024)

static struct {
    _Atomic uint32_t word;     /* changes with every call */
    _Atomic uint32_t starting; /* a worker that is not on the spare list yet */
    _Atomic(struct job *) jobs;
    bool there;
    uint64_t last; /* when it made a worker */
} maker;

struct job {
    struct job *next;
    void (*run)(void *);
    void *arg;
    _Atomic uint32_t done;
};

void (*maker_also)(void);

bool maker_call(void)
{
    add_seq(&maker.word, 1);
    sys_call(SYS_futex, &maker.word, FUTEX_WAKE_PRIVATE, 1);
    return maker.there;
}

void maker_started(void)
{
    store_release(&maker.starting, 0); /* partner: make_reserve */
}

void maker_do(void (*run)(void *), void *arg)
{
    struct job job = { .run = run, .arg = arg };
    if (!maker.there) {
        run(arg);
        return;
    }
    job.next = load_relaxed(&maker.jobs);
    while (!cas_release(&maker.jobs, &job.next, &job)) /* partner: run_jobs */
        ;
    maker_call();
    while (!load_acquire(&job.done)) /* partner: run_jobs */
        sys_call(SYS_futex, &job.done, FUTEX_WAIT_PRIVATE, 0, NULL);
}

static void run_jobs(void)
{
    for (struct job *j = xchg_acqrel(&maker.jobs, NULL), *next; j; j = next) {
        next = j->next;
        j->run(j->arg);
        /* The job is gone when its owner sees this; waking a stale address harms nobody. */
        store_release(&j->done, 1);
        sys_call(SYS_futex, &j->done, FUTEX_WAKE_PRIVATE, 1);
    }
}

/* Where all block for a moment, as when the kernel makes the table of descriptors larger, more workers would
 * only block too: beyond a few, one at a time. */
#define FEW   2u /* more than procs */
#define PAUSE (3 * NSEC_PER_MSEC)

/* Returns how long to wait before it is tried again; 0: until the maker is called. */
static uint64_t make_reserve(void)
{
    uint64_t now = timer_now();
    if (*(struct worker *volatile *)&sched.spare || load_acquire(&maker.starting))
        return 0; /* partner: maker_started, after which the worker is on the list or gone */
    if (load_relaxed(&sched.nworkers) >= load_relaxed(&sched.nprocs) + FEW &&
        now - maker.last < PAUSE)
        return PAUSE - (now - maker.last);
    maker.last = now;
    store_relaxed(&maker.starting, 1);
    if (worker_start())
        maker_started();
    return 0;
}

static void *maker_main(void *arg)
{
    (void)arg;
    for (;;) {
        uint32_t word = load_seq(&maker.word); /* partner: maker_call */
        run_jobs();
        if (maker_also)
            maker_also();
        struct timespec ts = { 0, (long)make_reserve() };
        sys_call(SYS_futex, &maker.word, FUTEX_WAIT_PRIVATE, word, ts.tv_nsec ? &ts : NULL);
    }
    return NULL;
}

void maker_after_fork(void)
{
    memset(&maker, 0, sizeof maker);
}

void maker_start(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, before;
    make_reserve(); /* here, before there are fibers that could hold a lock */
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, MAKER_STACK + tcb_room());
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all); /* the maker never runs the program's handlers */
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    maker.there = libc_real.pthread_create(&thread, &attr, maker_main, NULL) == 0;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
    pthread_attr_destroy(&attr);
}
