/* Raw system calls with the usual number of arguments, on top of arch_syscall6. */
#ifndef ARCH_SYSCALL_H
#define ARCH_SYSCALL_H

#include <sys/syscall.h>
#include "arch/arch.h"

#define sys_pick(_1, _2, _3, _4, _5, _6, _7, NAME, ...) NAME
#define sys_call(...)                                                                              \
    sys_pick(__VA_ARGS__, sys_6, sys_5, sys_4, sys_3, sys_2, sys_1, sys_0, )(__VA_ARGS__)
#define sys_6(n, a, b, c, d, e, f)                                                                 \
    arch_syscall6((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define sys_5(n, a, b, c, d, e) sys_6(n, a, b, c, d, e, 0)
#define sys_4(n, a, b, c, d)    sys_6(n, a, b, c, d, 0, 0)
#define sys_3(n, a, b, c)       sys_6(n, a, b, c, 0, 0, 0)
#define sys_2(n, a, b)          sys_6(n, a, b, 0, 0, 0, 0)
#define sys_1(n, a)             sys_6(n, a, 0, 0, 0, 0, 0)
#define sys_0(n)                sys_6(n, 0, 0, 0, 0, 0, 0)

#endif
