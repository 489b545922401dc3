/* Reading clocks without libc's wrapper, which raddle exports itself: the kernel's function in the
 * vDSO, or the system call where there is none (valgrind, some sandboxes). */
#ifndef ARCH_CLOCK_H
#define ARCH_CLOCK_H

#include <time.h>

/* clock_gettime(2): 0 or -errno. May be called anywhere, from the first instruction on. */
extern
    __attribute__((visibility("hidden"))) int (*arch_clock)(clockid_t clock, struct timespec *ts);

#endif
