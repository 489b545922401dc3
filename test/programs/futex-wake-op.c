/*
 * FUTEX_WAKE_OP changes the second word, wakes at the first, and at the second if the old value compares
 * as asked; it counts both (futex(2)). Private and shared.
 */
#include "check.h"

#include "sleepers.h"

static int words[2], private;

static void *wait_for_it(void *argument)
{
    int *word = argument;
    int value = *word;

    CHECK_EQ(syscall(SYS_futex, word, FUTEX_WAIT | private, value, NULL, NULL, 0), 0);
    return NULL;
}

/* Two waiters at each word, old the second's value: how many are woken, with one allowed at each. */
static void one(int op, int oparg, int cmp, int cmparg, int old, int new, long expected)
{
    pthread_t threads[4];

    words[1] = old;
    for (int i = 0; i < 4; i++) {
        threads[i] = start(wait_for_it, &words[i / 2]);
    }
    await_sleepers(&words[0], private, 2);
    await_sleepers(&words[1], private, 2);
    CHECK_EQ(syscall(SYS_futex, &words[0], FUTEX_WAKE_OP | private, 1, 1L, &words[1],
                     FUTEX_OP(op, oparg, cmp, cmparg)),
             expected);
    CHECK_EQ(words[1], new);
    CHECK_EQ(syscall(SYS_futex, &words[0], FUTEX_WAKE | private, 9, NULL, NULL, 0), 1);
    CHECK_EQ(syscall(SYS_futex, &words[1], FUTEX_WAKE | private, 9, NULL, NULL, 0), 3 - expected);
    for (int i = 0; i < 4; i++) {
        finish(threads[i]);
    }
}

static void all(void)
{
    one(FUTEX_OP_SET, 7, FUTEX_OP_CMP_EQ, 3, 3, 7, 2);
    one(FUTEX_OP_SET, 7, FUTEX_OP_CMP_EQ, 4, 3, 7, 1);
    one(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_NE, 4, 3, 8, 2);
    one(FUTEX_OP_ADD, -1 & 0xfff, FUTEX_OP_CMP_LT, -2 & 0xfff, -3, -4, 2);
    one(FUTEX_OP_OR, 6, FUTEX_OP_CMP_LE, 1, 1, 7, 2);
    one(FUTEX_OP_ANDN, 6, FUTEX_OP_CMP_GT, 7, 7, 1, 1);
    one(FUTEX_OP_XOR, 3, FUTEX_OP_CMP_GE, 5, 5, 6, 2);
    one(FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 4, FUTEX_OP_CMP_EQ, 1, 1, 17, 2);
}

int main(void)
{
    watchdog();
    private = FUTEX_PRIVATE_FLAG;
    all();
    private = 0;
    all();
    return 0;
}
