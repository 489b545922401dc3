/* x86-64: choice of the context switch, first frame of a stack, decoding of direct calls.
 *
 * Invariants: arch_switch is set before the first fiber exists and never changes; nothing here
 * uses thread-local storage. Called during activation and, for stacks, by the creating fiber. */
#include <string.h>
#include <sys/auxv.h>
#include <ucontext.h>
#include "arch/syscall.h"
#include "base/defs.h"
#include "base/lock.h"

#define ARCH_SET_FS     0x1002
#define HWCAP2_FSGSBASE (1u << 1)

void arch_switch_fsgsbase(void **save, void *sp, uintptr_t tp);
void arch_switch_prctl(void **save, void *sp, uintptr_t tp);
void arch_wrfsbase(uintptr_t tp);
void arch_entry(void);

void (*arch_switch)(void **save, void *sp, uintptr_t tp) = arch_switch_prctl;

void arch_init(bool force_syscall)
{
    bool native = (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) && !force_syscall;
    arch_switch = native ? arch_switch_fsgsbase : arch_switch_prctl;
}

bool arch_tp_native(void)
{
    return arch_switch == arch_switch_fsgsbase;
}

const void *arch_stub_syscall;

const void *arch_context_pc(const void *ucontext)
{
    return (const void *)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP];
}

/* cancel.S */
extern const char arch_unless_begin[], arch_unless_end[], arch_unless_bail[];

bool arch_leave_syscall(void *ucontext)
{
    greg_t *pc = &((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP];
    if (*pc < (greg_t)arch_unless_begin || *pc >= (greg_t)arch_unless_end)
        return false;
    *pc = (greg_t)arch_unless_bail;
    return true;
}

uintptr_t arch_context_sp(const void *ucontext)
{
    return (uintptr_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RSP];
}

bool arch_context_waits(const void *ucontext)
{
    const greg_t *r = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)r[REG_RIP];
    return code[0] == 0x0f && code[1] == 0x05 && r[REG_RAX] == SYS_futex;
}

void arch_tp_set(uintptr_t tp)
{
    if (arch_tp_native())
        arch_wrfsbase(tp);
    else
        sys_call(SYS_arch_prctl, ARCH_SET_FS, tp);
}

void lock_relax(unsigned round)
{
    if (round < 64) {
        for (unsigned i = 0; i <= (round & 15); i++)
            arch_pause();
    } else {
        sys_call(SYS_sched_yield);
    }
}

/* Frame as arch_switch leaves it: FP control, r15 r14 r13 r12 rbx rbp, return address. */
void *arch_stack_init(void *top, void (*entry)(void))
{
    uint64_t *sp = (uint64_t *)ALIGN_DOWN(top, 16);
    *--sp = 0; /* so that the stack is 16-byte aligned before arch_entry's call */
    *--sp = 0;
    *--sp = (uint64_t)arch_entry;
    *--sp = 0;               /* rbp */
    *--sp = 0;               /* rbx */
    *--sp = (uint64_t)entry; /* r12 */
    *--sp = 0;               /* r13 */
    *--sp = 0;               /* r14 */
    *--sp = 0;               /* r15 */
    /* A new thread starts with its creator's rounding mode and exception masks, as after clone. */
    uint32_t mxcsr;
    uint16_t cw, sw;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(cw));
    __asm__ volatile("fnstsw %0" : "=m"(sw));
    *--sp = (uint64_t)(sw & 0x3f) << 48 | (uint64_t)cw << 32 | mxcsr;
    return sp;
}

/* The encodings that may stand between two calls without changing what is called: none. A leading
 * short or near jmp is followed once (the compiler may place the calls behind a shared block), and
 * so is the store of the start routine's result to %fs:disp32 (64 48 89 04 25 imm32). */
int arch_decode_calls(const unsigned char *code, void **targets, int max)
{
    static const unsigned char store_result[] = { 0x64, 0x48, 0x89, 0x04, 0x25 };
    int32_t rel;
    int n = 0;
    if (!memcmp(code, store_result, sizeof store_result))
        code += sizeof store_result + 4;
    if (code[0] == 0xeb) {
        code += 2 + (signed char)code[1];
    } else if (code[0] == 0xe9) {
        memcpy(&rel, code + 1, 4);
        code += 5 + rel;
    }
    if (!memcmp(code, store_result, sizeof store_result))
        code += sizeof store_result + 4;
    while (n < max && code[0] == 0xe8) {
        memcpy(&rel, code + 1, 4);
        targets[n++] = (void *)(code + 5 + rel);
        code += 5;
    }
    return n;
}
