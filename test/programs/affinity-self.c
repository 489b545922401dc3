/*
 * A thread that pins itself to a CPU stays there, however often it waits, and the others keep the
 * process's CPUs. What was set is what is read, under each name of the thread.
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>
#include <sys/syscall.h>

static cpu_set_t all;
static sem_t go, done;

static int nth_cpu(int n)
{
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all) && n-- == 0) {
            return cpu;
        }
    }
    return -1;
}

static void *pinned(void *argument)
{
    cpu_set_t mine, seen;
    int cpu = *(int *)argument;
    pid_t tid = gettid();

    CPU_ZERO(&mine);
    CPU_SET(cpu, &mine);
    OK(pthread_setaffinity_np(pthread_self(), sizeof mine, &mine));
    CHECK_EQ(gettid(), tid);
    CHECK_EQ(syscall(SYS_gettid), tid);
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(sched_getcpu(), cpu);
        sem_post(&done);
        while (sem_wait(&go) < 0) {
        }
        if (i % 50 == 0) {
            nap(1);
        }
        sched_yield();
    }
    OK(pthread_getaffinity_np(pthread_self(), sizeof seen, &seen));
    CHECK(CPU_EQUAL(&seen, &mine));
    SYS(sched_getaffinity(0, sizeof seen, &seen));
    CHECK(CPU_EQUAL(&seen, &mine));
    SYS(sched_getaffinity(tid, sizeof seen, &seen));
    CHECK(CPU_EQUAL(&seen, &mine));
    CHECK(syscall(SYS_sched_getaffinity, tid, sizeof seen, &seen) > 0);
    CHECK(CPU_EQUAL(&seen, &mine));
    return NULL;
}

static void *plain(void *argument)
{
    cpu_set_t seen;

    (void)argument;
    for (int i = 0; i < 50; i++) {
        OK(pthread_getaffinity_np(pthread_self(), sizeof seen, &seen));
        CHECK(CPU_EQUAL(&seen, &all));
        sched_yield();
    }
    return NULL;
}

int main(void)
{
    pthread_t a, b, others[4];
    cpu_set_t seen, none;
    int first, second;

    watchdog();
    SYS(sched_getaffinity(0, sizeof all, &all));
    if (CPU_COUNT(&all) < 2) {
        SKIP("needs two CPUs");
    }
    sem_init(&go, 0, 0);
    sem_init(&done, 0, 0);
    first = nth_cpu(0);
    second = nth_cpu(1);
    a = start(pinned, &first);
    b = start(pinned, &second);
    for (int i = 0; i < 4; i++) {
        others[i] = start(plain, NULL);
    }
    for (int i = 0; i < 400; i++) {
        while (sem_wait(&done) < 0) {
        }
        sem_post(&go);
    }
    finish(a);
    finish(b);
    for (int i = 0; i < 4; i++) {
        finish(others[i]);
    }
    /* What is refused changes nothing. */
    CPU_ZERO(&none);
    CHECK_EQ(pthread_setaffinity_np(pthread_self(), sizeof none, &none), EINVAL);
    FAILS(sched_setaffinity(0, sizeof none, &none), EINVAL);
    FAILS(sched_setaffinity(0x1ffffff0, sizeof all, &all), ESRCH);
    OK(pthread_setaffinity_np(pthread_self(), sizeof all, &all));
    SYS(sched_getaffinity(getpid(), sizeof seen, &seen));
    CHECK(CPU_EQUAL(&seen, &all));
    return 0;
}
