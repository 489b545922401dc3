/* Stubs that stand in for system call instructions of other libraries (arch/patch.h), and what they
 * share.
 *
 * A slot is 64 bytes and is filled in by patch.c:
 *
 *    0  address behind the replaced instruction, for unwinders
 *    8  instructions from before it, ending at
 *   24  lea -128(%rsp), %rsp      the caller's red zone
 *   29  call deep_entry
 *   34  lea 128(%rsp), %rsp
 *   42  instructions from behind it, and a jump back
 *
 * The slots have pages of their own, because those are writable while they are filled.
 *
 * deep_entry's caller in the unwinder's eyes is the place of the replaced instruction: the return
 * address leads to the slot, whose first word is that. As with a signal frame, it is not a call. */
    .text
    .globl deep_slots
    .hidden deep_slots
    .globl deep_slots_end
    .hidden deep_slots_end
    .p2align 12
deep_slots:
    .fill 512 * 64, 1, 0xcc
deep_slots_end:

    .globl deep_entry
    .hidden deep_entry
    .type deep_entry, @function
    .p2align 6
deep_entry:
    .cfi_startproc
    .cfi_signal_frame
    .cfi_def_cfa rsp, 136
    /* Return address: *(*(CFA - 136) - 34), said as where it is stored. The CFA is on the stack of
     * such an expression already. DW_CFA_expression, register 16, 7 bytes: const1u 136, minus,
     * deref, const1u 34, minus. */
    .cfi_escape 0x10, 16, 7, 0x08, 136, 0x1c, 0x06, 0x08, 34, 0x1c
    pushq %rbp
    .cfi_def_cfa_offset 144
    .cfi_offset rbp, -144
    movq %rsp, %rbp
    .cfi_def_cfa_register rbp
    andq $-16, %rsp
    subq $64, %rsp
    movq %rdi, (%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %r10, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    movq %rax, 48(%rsp)
    movq %rsp, %rdi
    leaq 144(%rbp), %rsi
    call deep_filter
    movq %rsp, %rdi
    testq %rax, %rax
    jnz 1f
    movq 48(%rdi), %rax
    movq 40(%rdi), %r9
    movq 32(%rdi), %r8
    movq 24(%rdi), %r10
    movq 16(%rdi), %rdx
    movq 8(%rdi), %rsi
    movq (%rdi), %rdi
    .globl deep_syscall
    .hidden deep_syscall
deep_syscall:
    syscall
    leave
    .cfi_remember_state
    .cfi_def_cfa rsp, 136
    ret
    .cfi_restore_state
1:  subq $256, %rsp
    movaps %xmm0, (%rsp)
    movaps %xmm1, 16(%rsp)
    movaps %xmm2, 32(%rsp)
    movaps %xmm3, 48(%rsp)
    movaps %xmm4, 64(%rsp)
    movaps %xmm5, 80(%rsp)
    movaps %xmm6, 96(%rsp)
    movaps %xmm7, 112(%rsp)
    movaps %xmm8, 128(%rsp)
    movaps %xmm9, 144(%rsp)
    movaps %xmm10, 160(%rsp)
    movaps %xmm11, 176(%rsp)
    movaps %xmm12, 192(%rsp)
    movaps %xmm13, 208(%rsp)
    movaps %xmm14, 224(%rsp)
    movaps %xmm15, 240(%rsp)
    call *%rax
    movaps (%rsp), %xmm0
    movaps 16(%rsp), %xmm1
    movaps 32(%rsp), %xmm2
    movaps 48(%rsp), %xmm3
    movaps 64(%rsp), %xmm4
    movaps 80(%rsp), %xmm5
    movaps 96(%rsp), %xmm6
    movaps 112(%rsp), %xmm7
    movaps 128(%rsp), %xmm8
    movaps 144(%rsp), %xmm9
    movaps 160(%rsp), %xmm10
    movaps 176(%rsp), %xmm11
    movaps 192(%rsp), %xmm12
    movaps 208(%rsp), %xmm13
    movaps 224(%rsp), %xmm14
    movaps 240(%rsp), %xmm15
    movq 296(%rsp), %r9
    movq 288(%rsp), %r8
    movq 280(%rsp), %r10
    movq 272(%rsp), %rdx
    movq 264(%rsp), %rsi
    movq 256(%rsp), %rdi
    leave
    .cfi_def_cfa rsp, 136
    ret
    .cfi_endproc
    .size deep_entry, . - deep_entry

    .section .note.GNU-stack, "", @progbits
