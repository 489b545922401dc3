/* System calls that no library sees, made by a thread that computes in between, never end with EINTR
 * because it is to let others run: there is no signal handler in this program. */
#include "check.h"

#include <stdatomic.h>

#define SLEEPERS 4
#define ROUNDS   150

static atomic_int stop;
static volatile unsigned sink;

static void compute(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        sink = i;
}

/* nanosleep(2) without a function that could be replaced. */
static long raw_nanosleep(const struct timespec *t)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(35L), "D"(t), "S"((void *)0)
                     : "rcx", "r11", "memory");
    return result;
}

static void *burner(void *arg)
{
    (void)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        compute(10000);
    return NULL;
}

static void *sleeper(void *arg)
{
    (void)arg;
    struct timespec t = { 0, 300000 };
    for (int i = 0; i < ROUNDS; i++) {
        compute(300000);
        CHECK_EQ(raw_nanosleep(&t), 0);
    }
    return NULL;
}

int main(void)
{
    watchdog();
    pthread_t burners[4], sleepers[SLEEPERS];
    for (int i = 0; i < 4; i++)
        burners[i] = start(burner, NULL);
    for (int i = 0; i < SLEEPERS; i++)
        sleepers[i] = start(sleeper, NULL);
    for (int i = 0; i < SLEEPERS; i++)
        finish(sleepers[i]);
    atomic_store(&stop, 1);
    for (int i = 0; i < 4; i++)
        finish(burners[i]);
    puts("no sleep was interrupted");
    return 0;
}
