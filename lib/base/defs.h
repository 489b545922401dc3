/* Small vocabulary used by every room: branch hints, rounding, intrusive containers. */
#ifndef BASE_DEFS_H
#define BASE_DEFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x)                     __builtin_expect(!!(x), 1)
#define unlikely(x)                   __builtin_expect(!!(x), 0)
#define CACHE_LINE                    64
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))
#define ALIGN_UP(x, a)                (((uintptr_t)(x) + ((uintptr_t)(a)-1)) & ~((uintptr_t)(a)-1))
#define ALIGN_DOWN(x, a)              ((uintptr_t)(x) & ~((uintptr_t)(a)-1))
#define COUNT_OF(a)                   (sizeof(a) / sizeof((a)[0]))

#define NSEC_PER_SEC  1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull

#endif
