/*
 * Floating-point exception flags belong to the thread, the SSE ones and the x87 ones: raised
 * flags survive blocking calls and are not seen by other threads (C11 7.6.2).
 */
#include "check.h"

#include <fenv.h>
#include <sched.h>

enum { THREADS = 20, ROUNDS = 100 };

static void *body(void *argument)
{
    int number = (int)(long)argument;

    for (int i = 0; i < ROUNDS; i++) {
        feclearexcept(FE_ALL_EXCEPT);
        sched_yield();
        CHECK_EQ(fetestexcept(FE_ALL_EXCEPT), 0);
        /* glibc raises the first by an SSE division, the second in the x87 status word. */
        feraiseexcept(number % 2 ? FE_DIVBYZERO : FE_OVERFLOW);
        if (i % 20 == 0) {
            usleep(10);
        } else {
            sched_yield();
        }
        CHECK_EQ(fetestexcept(FE_DIVBYZERO) != 0, number % 2);
        CHECK_EQ(fetestexcept(FE_OVERFLOW) != 0, !(number % 2));
    }
    return NULL;
}

int main(void)
{
    watchdog();
    run_threads(THREADS, body);
    return 0;
}
