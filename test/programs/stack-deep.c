/*
 * A thread with default attributes can use 6 MiB of stack when RLIMIT_STACK is 8 MiB, in several
 * threads at once, and again after such threads have ended (pthread_create(3)).
 */
#include "check.h"

enum { DEPTH = 6 << 20, FRAME = 2048 };

__attribute__((noinline)) static long descend(long left)
{
    volatile char frame[FRAME];

    frame[0] = (char)left;
    frame[FRAME - 1] = (char)(left + 1);
    if (left > FRAME) {
        CHECK(descend(left - FRAME - 32) >= 0);
    } else {
        nap(1);
    }
    CHECK_EQ(frame[0], (char)left);
    CHECK_EQ(frame[FRAME - 1], (char)(left + 1));
    return left;
}

static void *body(void *argument)
{
    descend(DEPTH);
    return argument;
}

int main(void)
{
    pthread_t threads[4];
    struct rlimit stack;

    watchdog();
    SYS(getrlimit(RLIMIT_STACK, &stack));
    if (stack.rlim_cur < (8 << 20)) {
        SKIP("RLIMIT_STACK is below 8 MiB");
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++) {
            threads[i] = start(body, NULL);
        }
        for (int i = 0; i < 4; i++) {
            finish(threads[i]);
        }
    }
    return 0;
}
