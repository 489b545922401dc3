/* Whether an address of the program's can be read, where natively the kernel would read it and answer EFAULT,
 * and we read it ourselves before, or instead.
 *
 * The kernel is asked by a call that copies the bytes and then fails: rt_sigprocmask with a nonsense `how`.
 * Where the kernel sees the address first anyway, nobody asks. What is readable now may be unmapped by
 * another thread before it is read; then we die where natively the answer would depend on who is faster.
 * Called on the program's stacks. */
#include "shim/calls.h"

#include "arch/syscall.h"

#define PAGE 4096ul

long user_probe(const void *p, size_t n)
{
    uintptr_t at = (uintptr_t)p, last = at + n - 1;
    if (!n)
        return 0;
    if (last < at)
        return -EFAULT;
    for (;;) {
        /* 8 bytes that lie in one page with the one that is meant */
        if (sys_call(SYS_rt_sigprocmask, -1, at & ~7ul, NULL, 8) == -EFAULT)
            return -EFAULT;
        at = (at | (PAGE - 1)) + 1;
        if (at > last || !at)
            return 0;
    }
}
