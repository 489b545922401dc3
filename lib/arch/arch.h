/* What the rest of the library needs from a processor. One folder per architecture implements it
 * under the same file names; nothing outside lib/arch contains assembly.
 *
 *   arch_switch(&save, sp, tp)   save callee-saved registers and FP control words on the current
 *                                stack, store the stack pointer in *save, continue at sp with tp
 *                                as thread pointer. Returns when somebody switches back.
 *   arch_stack_init(top, entry)  make a stack on which the first switch enters entry(), with an
 *                                unwinder-visible end of stack.
 *   arch_tp_get / arch_tp_set    the thread pointer (%fs base on x86-64)
 *   arch_tp_native()             true: the thread pointer is set by an instruction, false: by a
 *                                system call (no fsgsbase)
 *   arch_syscall6                raw system call, -errno on failure, touches neither TLS nor errno
 *   arch_syscall_unless, arch_leave_syscall
 *                                a system call that a signal handler can still call off
 *   arch_pause()                 spin-wait hint
 */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#if defined(__x86_64__)
#include "arch/x86_64/arch.h"
#else
#error "raddle: no lib/arch folder for this processor yet"
#endif

#endif
