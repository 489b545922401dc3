/* vfork: the child runs on the caller's stack and in its memory until it executes another program,
 * so no C frame may be open across the system call: the child's later calls would overwrite it. The
 * return address waits in a register, which each side has for itself.
 *
 * vfork_enter and vfork_leave (shim/process.c) mark the fiber, so that every call that the child
 * makes goes straight to libc. */
    .text
    .globl vfork
    .type vfork, @function
    .p2align 4
vfork:
    .cfi_startproc
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    call vfork_enter
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq %rdi
    .cfi_adjust_cfa_offset -8
    .cfi_register rip, rdi
    movl $58, %eax
    syscall
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rip, 0
    testq %rax, %rax
    jz 1f
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    movq %rax, %rdi
    call vfork_leave            /* passes the result on, or sets errno */
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
1:  ret
    .cfi_endproc
    .size vfork, . - vfork

    .section .note.GNU-stack, "", @progbits
