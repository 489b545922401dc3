/*
 * A new thread has its creator's CPUs, unless its attributes name others; and its attributes tell.
 */
#include "check.h"

#include <sched.h>

static cpu_set_t all, one, other;

static void *child(void *argument)
{
    cpu_set_t seen, told;
    pthread_attr_t attr;

    OK(pthread_getaffinity_np(pthread_self(), sizeof seen, &seen));
    CHECK(CPU_EQUAL(&seen, (cpu_set_t *)argument));
    CHECK(CPU_ISSET(sched_getcpu(), &seen));
    OK(pthread_getattr_np(pthread_self(), &attr));
    OK(pthread_attr_getaffinity_np(&attr, sizeof told, &told));
    CHECK(CPU_EQUAL(&told, &seen));
    OK(pthread_attr_destroy(&attr));
    return NULL;
}

static void *creator(void *argument)
{
    (void)argument;
    OK(pthread_setaffinity_np(pthread_self(), sizeof one, &one));
    for (int i = 0; i < 10; i++) {
        finish(start(child, &one));
    }
    return NULL;
}

int main(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    cpu_set_t none;

    watchdog();
    SYS(sched_getaffinity(0, sizeof all, &all));
    if (CPU_COUNT(&all) < 2) {
        SKIP("needs two CPUs");
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all)) {
            CPU_ZERO(CPU_COUNT(&one) ? &other : &one);
            CPU_SET(cpu, CPU_COUNT(&one) ? &other : &one);
        }
    }
    finish(start(creator, NULL));
    finish(start(child, &all));

    OK(pthread_attr_init(&attr));
    OK(pthread_attr_setaffinity_np(&attr, sizeof other, &other));
    OK(pthread_create(&thread, &attr, child, &other));
    finish(thread);
    OK(pthread_attr_setaffinity_np(&attr, sizeof all, &all));
    OK(pthread_create(&thread, &attr, child, &all));
    finish(thread);
    CPU_ZERO(&none);
    OK(pthread_attr_setaffinity_np(&attr, sizeof none, &none));
    CHECK_EQ(pthread_create(&thread, &attr, child, &none), EINVAL);
    return 0;
}
