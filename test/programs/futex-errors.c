/*
 * What futex(2) refuses, and with which error: misaligned and bad addresses, no bits, bad times, values
 * that do not match, unknown operations; private and shared.
 */
#include "check.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static long futex(void *addr, int op, unsigned value, const void *time, void *addr2,
                  unsigned value3)
{
    return syscall(SYS_futex, addr, op, value, time, addr2, value3);
}

static void all(int private)
{
    static unsigned words[2];
    struct timespec zero = { 0, 0 }, bad = { 0, 1000000000 }, negative = { -1, 0 };
    char *gone = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *bytes = (char *)words;

    CHECK(gone != MAP_FAILED);
    FAILS(futex(bytes + 1, FUTEX_WAIT | private, 0, NULL, NULL, 0), EINVAL);
    FAILS(futex(bytes + 2, FUTEX_WAKE | private, 1, NULL, NULL, 0), EINVAL);
    FAILS(futex(bytes + 3, FUTEX_REQUEUE | private, 1, (void *)1, words, 0), EINVAL);
    FAILS(futex(gone, FUTEX_WAIT | private, 0, &zero, NULL, 0), EFAULT);
    FAILS(futex(NULL, FUTEX_WAIT | private, 0, &zero, NULL, 0), EFAULT);
    FAILS(futex(gone, FUTEX_CMP_REQUEUE | private, 1, (void *)1, words, 0), EFAULT);
    FAILS(
        futex(words, FUTEX_WAKE_OP | private, 1, (void *)1, gone, FUTEX_OP(FUTEX_OP_SET, 1, 0, 0)),
        EFAULT);
    FAILS(futex(words, FUTEX_WAIT_BITSET | private, 0, &zero, NULL, 0), EINVAL);
    FAILS(futex(words, FUTEX_WAKE_BITSET | private, 1, NULL, NULL, 0), EINVAL);
    FAILS(futex(words, FUTEX_WAIT | private, 1, NULL, NULL, 0), EAGAIN);
    FAILS(futex(words, FUTEX_WAIT_BITSET | private, 1, NULL, NULL, 1), EAGAIN);
    FAILS(futex(words, FUTEX_CMP_REQUEUE | private, 1, (void *)1, words + 1, 7), EAGAIN);
    FAILS(futex(words, FUTEX_REQUEUE | private, (unsigned)-1, (void *)1, words + 1, 0), EINVAL);
    FAILS(futex(words, FUTEX_CMP_REQUEUE | private, 1, (void *)(long)-1, words + 1, 0), EINVAL);
    FAILS(futex(words, FUTEX_WAIT | private, 0, &bad, NULL, 0), EINVAL);
    FAILS(futex(words, FUTEX_WAIT | private, 0, &negative, NULL, 0), EINVAL);
    FAILS(futex(words, FUTEX_WAIT | private, 0, gone, NULL, 0), EFAULT);
    FAILS(futex(words, FUTEX_WAIT_BITSET | private, 0, &bad, NULL, 1), EINVAL);
    FAILS(futex(words, FUTEX_WAIT | private, 0, &zero, NULL, 0), ETIMEDOUT);
    FAILS(futex(words, FUTEX_WAIT_BITSET | private, 0, &zero, NULL, 1), ETIMEDOUT);
    FAILS(futex(words, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME | private, 0, &zero, NULL, 1),
          ETIMEDOUT);
    FAILS(futex(words, 99 | private, 0, NULL, NULL, 0), ENOSYS);
    FAILS(futex(words, FUTEX_FD | private, 0, NULL, NULL, 0), ENOSYS);
    FAILS(futex(words, FUTEX_WAKE_OP | private, 1, (void *)1, words + 1, 5u << 28), ENOSYS);
    CHECK_EQ(words[1], 0);
    FAILS(futex(words, FUTEX_WAKE_OP | private, 1, (void *)1, words + 1,
                FUTEX_OP(FUTEX_OP_SET, 3, 9, 0)),
          ENOSYS);
    words[1] = 0;
    CHECK_EQ(futex(words, FUTEX_WAKE | private, 1, NULL, NULL, 0), 0);
    CHECK_EQ(futex(words, FUTEX_WAKE | private, INT_MAX, NULL, NULL, 0), 0);
    CHECK_EQ(futex(words, FUTEX_REQUEUE | private, 1, (void *)(long)INT_MAX, words + 1, 0), 0);
    SYS(munmap(gone, 4096));
}

static void *body(void *argument)
{
    all(FUTEX_PRIVATE_FLAG);
    all(0);
    return argument;
}

int main(void)
{
    watchdog();
    body(NULL);
    finish(start(body, NULL));
    return 0;
}
