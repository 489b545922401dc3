/* A system call that cancellation can end without doubt about whether it happened.
 *
 *   long arch_syscall_unless(const _Atomic uint32_t *word, uint32_t bits, const long args[7])
 *
 * -EINTR without a call if *word has one of the bits; else the call with the number args[0]. A signal
 * handler that finds the program counter from arch_unless_begin to before arch_unless_end knows that
 * the call has not been made, or that the kernel would make it again with nothing done so far: it may
 * continue at arch_unless_bail instead. From arch_unless_end on there is a result, which stays.
 * At arch_unless_call the kernel makes the call for the first time, or once more after a handler with
 * SA_RESTART.
 */
    .text
    .globl arch_unless_begin
    .hidden arch_unless_begin
    .globl arch_unless_end
    .hidden arch_unless_end
    .globl arch_unless_call
    .hidden arch_unless_call
    .globl arch_unless_bail
    .hidden arch_unless_bail

    .globl arch_syscall_unless
    .hidden arch_syscall_unless
    .type arch_syscall_unless, @function
    .p2align 4
arch_syscall_unless:
arch_unless_begin:
    .cfi_startproc
    testl %esi, (%rdi)
    jnz arch_unless_bail
    movq %rdx, %r11             /* the call destroys rcx and r11, which nobody expects to keep */
    movq 0(%r11), %rax
    movq 8(%r11), %rdi
    movq 16(%r11), %rsi
    movq 24(%r11), %rdx
    movq 32(%r11), %r10
    movq 40(%r11), %r8
    movq 48(%r11), %r9
arch_unless_call:
    syscall
arch_unless_end:
    ret
arch_unless_bail:
    movq $-4, %rax              /* -EINTR */
    ret
    .cfi_endproc
    .size arch_syscall_unless, . - arch_syscall_unless

    .section .note.GNU-stack, "", @progbits
