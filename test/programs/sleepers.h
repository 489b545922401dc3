/*
 * How a test knows that threads wait on a futex, and does not just hope so after a while. Include after
 * check.h.
 */
#ifndef SLEEPERS_H
#define SLEEPERS_H

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>

/* Waits until n threads wait there: moved to where they are, they are counted. */
static inline void await_sleepers(const void *word, int private, long n)
{
    while (SYS(syscall(SYS_futex, word, FUTEX_REQUEUE | private, 0, (long)INT_MAX, word, 0)) < n) {
        nap(1);
    }
}

#endif
