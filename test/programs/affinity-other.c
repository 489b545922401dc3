/*
 * A thread pins others: one that waits, one that computes, and the main thread. They are there when
 * they run on.
 */
#include "check.h"

#include <sched.h>
#include <stdatomic.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn, target;
static atomic_int seen_there, stop;
static pid_t waiter_tid;
static pthread_t main_thread;

static void *waiter(void *argument)
{
    (void)argument;
    pthread_mutex_lock(&lock);
    waiter_tid = gettid();
    turn = 1;
    pthread_cond_broadcast(&cond);
    while (turn != 2) {
        pthread_cond_wait(&cond, &lock);
    }
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(sched_getcpu(), target);
        sched_yield();
    }
    return NULL;
}

static void *computes(void *argument)
{
    (void)argument;
    while (!atomic_load(&stop)) {
        if (sched_getcpu() == target) {
            atomic_fetch_add(&seen_there, 1);
        } else {
            atomic_store(&seen_there, 0);
        }
    }
    CHECK_EQ(sched_getcpu(), target);
    return NULL;
}

static void *pins_main(void *argument)
{
    OK(pthread_setaffinity_np(main_thread, sizeof(cpu_set_t), argument));
    return NULL;
}

static void others_on(int cpu)
{
    cpu_set_t one, seen;
    pthread_t w, c;

    target = cpu;
    turn = 0;
    atomic_store(&stop, 0);
    atomic_store(&seen_there, 0);
    CPU_ZERO(&one);
    CPU_SET(target, &one);

    w = start(waiter, NULL);
    pthread_mutex_lock(&lock);
    while (turn != 1) {
        pthread_cond_wait(&cond, &lock);
    }
    SYS(sched_setaffinity(waiter_tid, sizeof one, &one));
    OK(pthread_getaffinity_np(w, sizeof seen, &seen));
    CHECK(CPU_EQUAL(&seen, &one));
    turn = 2;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&lock);
    finish(w);

    c = start(computes, NULL);
    nap(20);
    OK(pthread_setaffinity_np(c, sizeof one, &one));
    for (int i = 0; i < 5000 && atomic_load(&seen_there) < 10000; i++) {
        nap(1);
    }
    CHECK(atomic_load(&seen_there) >= 10000);
    atomic_store(&stop, 1);
    finish(c);
}

int main(void)
{
    cpu_set_t all, one, seen;

    watchdog();
    main_thread = pthread_self();
    SYS(sched_getaffinity(0, sizeof all, &all));
    if (CPU_COUNT(&all) < 2) {
        SKIP("needs two CPUs");
    }
    for (int round = 0; round < 5; round++) {
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (CPU_ISSET(cpu, &all) && (cpu < 2 || round == 0)) {
                others_on(cpu); /* by luck it is there, but not every time */
            }
        }
    }
    CPU_ZERO(&one);
    CPU_SET(target, &one);
    finish(start(pins_main, &one));
    CHECK_EQ(sched_getcpu(), target);
    CHECK_EQ(gettid(), getpid());
    SYS(sched_getaffinity(getpid(), sizeof seen, &seen));
    CHECK(CPU_EQUAL(&seen, &one));
    return 0;
}
