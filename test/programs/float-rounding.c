/*
 * The rounding mode belongs to the thread, in SSE and x87 arithmetic: it survives blocking calls
 * and other threads, and a new thread inherits its creator's (C11 7.6, POSIX pthread_create).
 */
#include "check.h"

#include <fenv.h>
#include <sched.h>

enum { THREADS = 20, ROUNDS = 100 };

static const int modes[] = { FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };

/* Whether 1/3 and -1/3 come out as the mode demands, in double and in long double. */
static void check_mode(int mode)
{
    volatile double one = 1, three = 3, minus = -1;
    volatile long double long_one = 1, long_three = 3;
    double up = one / three, down = minus / three;
    long double extended = long_one / long_three;
    int raised_up = up > 0x1.5555555555555p-2;
    int raised_down = down < -0x1.5555555555555p-2;
    int raised_extended = extended > 0xa.aaaaaaaaaaaaaaap-5L;

    CHECK_EQ(fegetround(), mode);
    CHECK_EQ(raised_up, mode == FE_UPWARD);
    CHECK_EQ(raised_down, mode == FE_DOWNWARD);
    CHECK_EQ(raised_extended, mode == FE_UPWARD || mode == FE_TONEAREST);
}

static void *body(void *argument)
{
    int number = *(int *)argument, mode = modes[number % 4];

    CHECK_EQ(fegetround(), FE_DOWNWARD);
    CHECK_EQ(fesetround(mode), 0);
    for (int i = 0; i < ROUNDS; i++) {
        check_mode(mode);
        sched_yield();
        check_mode(mode);
        if (i % 20 == 0) {
            usleep(10);
            check_mode(mode);
        }
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];

    watchdog();
    CHECK_EQ(fesetround(FE_DOWNWARD), 0);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        threads[i] = start(body, &numbers[i]);
    }
    check_mode(FE_DOWNWARD);
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    check_mode(FE_DOWNWARD);
    return 0;
}
