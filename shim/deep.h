/* Deep interception (deep.c): what the rest of the shim needs to know of it. */
#ifndef SHIM_DEEP_H
#define SHIM_DEEP_H

#include <stdbool.h>
#include <stdint.h>
#include "arch/patch.h"

struct deep {
    bool on;         /* libc's own calls come to us */
    bool tried;      /* once in a process and its forked children */
    const char *why; /* not; NULL: on, or never needed */
};
extern struct deep deep;

/* Hook of runtime_activate. */
void deep_start(void);
void deep_stats(void);

/* What answers a call in the kernel's stead, by its number. */
extern deep_body *const deep_bodies[PATCH_NUMBERS];

/* futex(2) on our table: variadic.c. -ENOSYS: the kernel's to do. */
struct timespec;
long futex_private(uint32_t *addr, int op, uint32_t value, const struct timespec *ts,
                   uint32_t *addr2, uint32_t value3);

#endif
