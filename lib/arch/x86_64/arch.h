/* x86-64 half of arch/arch.h: see there for the contract. */
#ifndef ARCH_X86_64_ARCH_H
#define ARCH_X86_64_ARCH_H

#include <stdbool.h>
#include <stdint.h>

static inline long arch_syscall6(long n, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static inline void arch_pause(void)
{
    __builtin_ia32_pause();
}

/* The thread pointer as the ABI keeps it: the first word of the TCB is its own address. */
static inline uintptr_t arch_tp_get(void)
{
    uintptr_t tp;
    __asm__ volatile("mov %%fs:0, %0" : "=r"(tp));
    return tp;
}

bool arch_tp_native(void);
void arch_tp_set(uintptr_t tp);
/* Chooses between wrfsbase and arch_prctl(2); call once before the first switch. force_syscall
 * simulates a kernel without fsgsbase. */
void arch_init(bool force_syscall);

/* Set by arch_init: switch with the instruction, or with the system call. */
extern void (*arch_switch)(void **save, void *sp, uintptr_t tp);

/* Where a signal frame interrupted, and whether the instruction before that is a system call: it has
 * just ended, or ended early. The text must be readable. */
const void *arch_context_pc(const void *ucontext);
static inline bool arch_after_syscall(const void *pc)
{
    const unsigned char *code = pc;
    return code[-2] == 0x0f && code[-1] == 0x05;
}

/* The system call that stubs make for the program's code (patch.h), where a restarted one is found;
 * NULL: there are no stubs. */
extern const void *arch_stub_syscall;
/* The system call of arch_syscall_unless; all its arguments are the program's. */
extern const char arch_unless_call[];

/* A system call (args[0] its number) that is not made, -EINTR, when *word has one of bits. */
long arch_syscall_unless(const _Atomic uint32_t *word, uint32_t bits, const long args[7]);
/* In a signal handler: if it interrupted that call before it did anything, makes it return -EINTR
 * when the handler returns. False: something else was interrupted, or it has a result. */
bool arch_leave_syscall(void *ucontext);
/* The stack pointer there. */
uintptr_t arch_context_sp(const void *ucontext);
/* Whether a wait on a futex was interrupted that will be restarted. The text must be readable. */
bool arch_context_waits(const void *ucontext);

/* Return address of signal handlers that are installed with the raw system call. */
void arch_sigreturn(void);

void *arch_stack_init(void *top, void (*entry)(void));

/* The function whose calls return addresses into the middle of libc's thread start routine are
 * decoded by this: finds up to max direct call targets in sequence at code. Returns how many. */
int arch_decode_calls(const unsigned char *code, void **targets, int max);

#endif
