/*
 * A lock with priority inheritance made by hand, as futex(2) describes it: the thread's id in the word, by
 * compare-and-swap; FUTEX_LOCK_PI, FUTEX_UNLOCK_PI and FUTEX_TRYLOCK_PI if that fails. Between threads of
 * all kinds, and what each call answers.
 */
#include "check.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

enum { THREADS = 12, ROUNDS = 3000 };

static atomic_uint word, other;
static volatile long a, b;
static atomic_int waiting, handled, ids;

static long pi(atomic_uint *w, int op, const struct timespec *ts)
{
    return syscall(SYS_futex, w, op | FUTEX_PRIVATE_FLAG, 0, ts, NULL, 0);
}

static unsigned me(void)
{
    return (unsigned)syscall(SYS_gettid);
}

static void lock(atomic_uint *w)
{
    unsigned none = 0;
    if (!atomic_compare_exchange_strong(w, &none, me())) {
        SYS(pi(w, FUTEX_LOCK_PI, NULL));
    }
    CHECK_EQ(*w & FUTEX_TID_MASK, me());
}

static void unlock(atomic_uint *w)
{
    unsigned mine = me();
    if (!atomic_compare_exchange_strong(w, &mine, 0)) {
        SYS(pi(w, FUTEX_UNLOCK_PI, NULL));
    }
}

static void own_cpus(void)
{
    cpu_set_t set;
    SYS(sched_getaffinity(0, sizeof set, &set));
    for (int i = 0, left = CPU_COUNT(&set) - 1; i < CPU_SETSIZE && left > 0; i++) {
        if (CPU_ISSET(i, &set)) {
            CPU_CLR(i, &set);
            left--;
        }
    }
    SYS(sched_setaffinity(0, sizeof set, &set));
}

static void *torture(void *argument)
{
    long n = (long)argument;
    if (n % 4 == 3) {
        own_cpus();
    }
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 7 == n % 7) {
            if (pi(&word, FUTEX_TRYLOCK_PI, NULL) < 0) {
                CHECK_EQ(errno, EAGAIN);
                continue;
            }
        } else if (i % 11 == 0) {
            struct timespec soon = from_now(CLOCK_REALTIME, 1);
            if (pi(&word, FUTEX_LOCK_PI, &soon) < 0) {
                CHECK_EQ(errno, ETIMEDOUT);
                continue;
            }
        } else {
            lock(&word);
        }
        CHECK_EQ(a, b);
        a++;
        if (i % 32 == 0) {
            sched_yield();
        }
        b++;
        unlock(&word);
    }
    return NULL;
}

static void from_timer(union sigval value)
{
    torture(value.sival_ptr);
    ids++;
}

static void *waits(void *argument)
{
    waiting++;
    SYS(pi(&word, FUTEX_LOCK_PI, NULL));
    unsigned seen = word;
    CHECK_EQ(seen & FUTEX_TID_MASK, me());
    CHECK_EQ(!(seen & FUTEX_OWNER_DIED), !argument);
    SYS(pi(&word, FUTEX_UNLOCK_PI, NULL));
    return NULL;
}

static void until_waiters(void)
{
    while (!(word & FUTEX_WAITERS)) {
        nap(1);
    }
    nap(10);
}

static void *errors(void *argument)
{
    struct timespec past = { 1, 0 }, wrong = { 1, -1 }, soon = from_now(CLOCK_MONOTONIC, 20);
    (void)argument;
    word = 0;
    FAILS(pi(&word, FUTEX_UNLOCK_PI, NULL), EPERM);
    FAILS(pi((atomic_uint *)((char *)&word + 1), FUTEX_LOCK_PI, NULL), EINVAL);
    FAILS(pi((atomic_uint *)8, FUTEX_LOCK_PI, NULL), EFAULT);
    FAILS(pi(&word, FUTEX_LOCK_PI, &wrong), EINVAL);
    SYS(pi(&word, FUTEX_LOCK_PI, &past)); /* it is free */
    CHECK_EQ(word, me());
    FAILS(pi(&word, FUTEX_LOCK_PI, NULL), EDEADLK);
    FAILS(pi(&word, FUTEX_TRYLOCK_PI, NULL), EDEADLK);
    SYS(pi(&word, FUTEX_UNLOCK_PI, NULL));
    CHECK_EQ(word, 0);
    SYS(pi(&word, FUTEX_TRYLOCK_PI, NULL));
    CHECK_EQ(word, me());
    SYS(pi(&word, FUTEX_UNLOCK_PI, NULL));
    /* Held by the main thread. */
    FAILS(pi(&other, FUTEX_UNLOCK_PI, NULL), EPERM);
    FAILS(pi(&other, FUTEX_TRYLOCK_PI, NULL), EAGAIN);
    FAILS(pi(&other, FUTEX_LOCK_PI, &past), ETIMEDOUT);
    if (pi(&other, FUTEX_LOCK_PI2, &soon) < 0 && errno != ENOSYS) {
        CHECK_EQ(errno, ETIMEDOUT);
        CHECK(reached(CLOCK_MONOTONIC, soon));
    }
    CHECK_EQ(other & FUTEX_TID_MASK, (unsigned)getpid());
    return (void *)(long)me();
}

static void *holds_other(void *argument)
{
    lock(&other);
    waiting++;
    /* main has it, and wants the other one. Who comes second is told. */
    if (pi(&word, FUTEX_LOCK_PI, NULL) < 0) {
        CHECK_EQ(errno, EDEADLK);
        unlock(&other);
        return &waiting;
    }
    SYS(pi(&word, FUTEX_UNLOCK_PI, NULL));
    unlock(&other);
    return argument;
}

static void *dies(void *argument)
{
    lock(&word);
    pthread_t thread = start(waits, argument);
    until_waiters();
    return (void *)thread; /* and does not unlock */
}

static void handler(int sig)
{
    (void)sig;
    handled++;
}

static void *signalled(void *argument)
{
    SYS(pi(&word, FUTEX_LOCK_PI, NULL)); /* goes on after the handler, without SA_RESTART too */
    SYS(pi(&word, FUTEX_UNLOCK_PI, NULL));
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];
    struct sigaction action = { .sa_handler = handler };
    struct sigevent event = { .sigev_notify = SIGEV_THREAD,
                              .sigev_notify_function = from_timer,
                              .sigev_value.sival_ptr = (void *)1L };
    struct itimerspec once = { .it_value = { 0, 1000000 } };
    timer_t timer;

    watchdog();
    /* All kinds of threads want it. */
    SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
    SYS(timer_settime(timer, 0, &once, NULL));
    for (long i = 0; i < THREADS; i++) {
        threads[i] = start(torture, (void *)i);
    }
    torture((void *)2L);
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    while (!ids) {
        nap(1);
    }
    CHECK_EQ(word, 0);
    CHECK_EQ(a, b);

    /* What the calls answer. */
    lock(&other);
    unsigned gone = (unsigned)(long)finish(start(errors, NULL));
    unlock(&other);
    CHECK_EQ(other, 0);
    other = gone; /* a thread that is not there any more */
    FAILS(pi(&other, FUTEX_LOCK_PI, NULL), ESRCH);
    FAILS(pi(&other, FUTEX_TRYLOCK_PI, NULL), ESRCH);
    other = 0;

    /* Handed over to those who wait, one after the other. */
    lock(&word);
    for (int i = 0; i < 5; i++) {
        threads[i] = start(waits, NULL);
    }
    while (waiting < 5) {
        nap(1);
    }
    until_waiters();
    SYS(pi(&word, FUTEX_UNLOCK_PI, NULL));
    for (int i = 0; i < 5; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(word, 0);

    /* A circle of two. */
    waiting = 0;
    lock(&word);
    threads[0] = start(holds_other, NULL);
    while (!waiting) {
        nap(1);
    }
    until_waiters();
    if (pi(&other, FUTEX_LOCK_PI, NULL) < 0) {
        CHECK_EQ(errno, EDEADLK);
        SYS(pi(&word, FUTEX_UNLOCK_PI, NULL));
        CHECK(finish(threads[0]) == NULL);
    } else {
        SYS(pi(&word, FUTEX_UNLOCK_PI, NULL));
        SYS(pi(&other, FUTEX_UNLOCK_PI, NULL));
        CHECK(finish(threads[0]) == &waiting);
    }
    CHECK_EQ(other, 0);
    CHECK_EQ(word, 0);

    /* The owner ends. */
    finish((pthread_t)finish(start(dies, &word)));
    CHECK_EQ(word & ~FUTEX_OWNER_DIED, 0);

    /* Signals. */
    word = 0;
    SYS(sigaction(SIGUSR1, &action, NULL));
    lock(&word);
    threads[0] = start(signalled, NULL);
    until_waiters();
    for (int i = 1; i < 20; i++) {
        OK(pthread_kill(threads[0], SIGUSR1));
        while (handled < i) {
            nap(1);
        }
    }
    SYS(pi(&word, FUTEX_UNLOCK_PI, NULL));
    finish(threads[0]);
    CHECK_EQ(word, 0);
    return 0;
}
