/* The context switch. See arch/arch.h for the contract.
 *
 * What is saved is what the ABI says a call preserves: rbx, rbp, r12-r15, the control bits of
 * MXCSR and the x87 control word. %fs is changed after the stack pointer; between the two
 * instructions stack and thread pointer belong to different fibers, so nothing here may touch
 * thread-local storage. Handlers that interrupt it: docs/design.md, "The window in the switch".
 *
 * Floating-point state is only loaded when it differs: the loads serialise. Exception flags count as
 * state: each thread has its own.
 */
    .text

    .macro SAVE
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $8, %rsp
    fnstsw %ax                  /* of the status word only the exception flags are state */
    andl $0x3f, %eax
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movq %rsp, (%rdi)
    shll $16, %eax
    movzwl 4(%rsp), %ecx
    orl %ecx, %eax
    shlq $32, %rax
    movl (%rsp), %ecx
    orq %rcx, %rax              /* ours, to compare with theirs */
    movq %rax, (%rsp)           /* in one piece: a load cannot be served from several stores under way */
    .endm

    .macro RESTORE
    cmpq (%rsp), %rax
    jne arch_load_fp
    addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .endm

/* The rare half of RESTORE: floating-point control words or exception flags differ. */
    .type arch_load_fp, @function
    .p2align 4
arch_load_fp:
    .cfi_startproc simple
    ldmxcsr (%rsp)
    subq $32, %rsp
    fnstenv (%rsp)
    movw 36(%rsp), %ax
    movw %ax, (%rsp)            /* control word */
    movw 38(%rsp), %ax
    movw %ax, 4(%rsp)           /* status word: exception flags, empty stack */
    fldenv (%rsp)
    addq $32, %rsp
    addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .cfi_endproc
    .size arch_load_fp, . - arch_load_fp

    .globl arch_switch_fsgsbase
    .hidden arch_switch_fsgsbase
    .type arch_switch_fsgsbase, @function
    .p2align 6
arch_switch_fsgsbase:
    .cfi_startproc
    SAVE
    movq %rsi, %rsp
    wrfsbase %rdx
    RESTORE
    .cfi_endproc
    .size arch_switch_fsgsbase, . - arch_switch_fsgsbase

    .globl arch_switch_prctl
    .hidden arch_switch_prctl
    .type arch_switch_prctl, @function
    .p2align 6
arch_switch_prctl:
    .cfi_startproc
    SAVE
    movq %rsi, %rsp
    pushq %rax
    movl $158, %eax             /* arch_prctl */
    movl $0x1002, %edi          /* ARCH_SET_FS */
    movq %rdx, %rsi
    syscall
    popq %rax
    RESTORE
    .cfi_endproc
    .size arch_switch_prctl, . - arch_switch_prctl

/* First code of a new stack: r12 holds the entry function. An undefined return address and a zero
 * frame pointer tell debuggers and unwinders that the stack ends here. */
    .globl arch_entry
    .hidden arch_entry
    .type arch_entry, @function
    .p2align 4
arch_entry:
    .cfi_startproc
    .cfi_undefined rip
    xorl %ebp, %ebp
    call *%r12
    ud2
    .cfi_endproc
    .size arch_entry, . - arch_entry

    .globl arch_wrfsbase
    .hidden arch_wrfsbase
    .type arch_wrfsbase, @function
arch_wrfsbase:
    .cfi_startproc
    wrfsbase %rdi
    ret
    .cfi_endproc
    .size arch_wrfsbase, . - arch_wrfsbase

/* Signal restorer, for handlers installed without libc. Unwinders and gdb recognise these two
 * instructions, byte for byte, as the end of a signal frame. */
    .globl arch_sigreturn
    .hidden arch_sigreturn
    .type arch_sigreturn, @function
    .p2align 4
    nop
arch_sigreturn:
    movq $15, %rax
    syscall
    .size arch_sigreturn, . - arch_sigreturn

    .section .note.GNU-stack, "", @progbits
