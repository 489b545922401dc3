/* A thread in a section without preemption stays on its kernel thread while it computes, also when it
 * nests sections; the thread runs on after the last end. Without the library there is nothing to call,
 * and nothing to see. */
#include "check.h"

#include <stdatomic.h>

/* As raddle.h declares them with RADDLE_WEAK. */
void __attribute__((weak)) raddle_nopreempt_begin(void);
void __attribute__((weak)) raddle_nopreempt_end(void);

#define ROUNDS 150

static atomic_int done;
static volatile unsigned sink;

static void begin(void)
{
    if (raddle_nopreempt_begin)
        raddle_nopreempt_begin();
}

static void end(void)
{
    if (raddle_nopreempt_end)
        raddle_nopreempt_end();
}

/* The kernel's own answer: no function that a library could replace. */
static long kernel_thread(void)
{
    long id;
    __asm__ volatile("syscall" : "=a"(id) : "a"(186L /* gettid */) : "rcx", "r11", "memory");
    return id;
}

static void compute(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        sink = i;
}

static void *burner(void *arg)
{
    (void)arg;
    while (!atomic_load(&done))
        compute(1000);
    return NULL;
}

static void *careful(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        begin();
        long id = kernel_thread();
        compute(400000);
        begin();
        compute(400000);
        end();
        compute(400000);
        CHECK_EQ(kernel_thread(), id);
        end();
        compute(10000);
    }
    return NULL;
}

int main(void)
{
    watchdog();
    pthread_t burners[4], two[2];
    for (int i = 0; i < 4; i++)
        burners[i] = start(burner, NULL);
    for (int i = 0; i < 2; i++)
        two[i] = start(careful, NULL);
    for (int i = 0; i < 2; i++)
        finish(two[i]);
    atomic_store(&done, 1);
    for (int i = 0; i < 4; i++)
        finish(burners[i]);
    puts("stayed");
    return 0;
}
