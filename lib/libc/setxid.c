/* SIGSETXID, the signal with which setuid(2) and its kin reach every kernel thread.
 *
 * The calls of the program are ours (thread/setid.c), which has a hook here. But libc also changes ids
 * by itself (rcmd, ruserok): by sending SIGSETXID to every thread on its list and waiting until each
 * handler has cleared a flag in its TCB. The handler
 * looks for that flag through the thread pointer, and on a worker that is the running fiber's: the
 * flag of the thread that was meant stays set, and libc sends for ever. So libc's handler is wrapped:
 * ours lets it run with the thread pointer of the kernel thread's own TCB. The first kernel thread has
 * two, the process's original one and that of worker 0's scheduler stack, and gets a signal for each.
 *
 * Fibers' TCBs are on libc's list too; signals for their tids go nowhere, and libc does not wait for
 * those. The handler runs on any stack, may interrupt the runtime, and calls nothing of ours but the
 * hooks. */
#include <signal.h>
#include <string.h>
#include "arch/syscall.h"
#include "libc/tcb.h"

#define SIGSETXID          33
#define SETXID_FLAG        (1 << 6) /* in struct pthread's cancelhandling */
#define KERNEL_NSIG_BYTES  8
#define KERNEL_SA_RESTORER 0x04000000

struct kernel_action {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

uintptr_t (*tcb_kernel_thread)(void);
bool (*tcb_setxid_ours)(void);

static struct kernel_action libc_action;
static uintptr_t first_tp;
static size_t flags_offset;

static void on_setxid(int sig, siginfo_t *info, void *context)
{
    if (tcb_setxid_ours())
        return;
    uintptr_t tp = arch_tp_get(), own = tcb_kernel_thread();
    if (tcb_tid(first_tp) == (uint32_t)sys_call(SYS_gettid) &&
        *(volatile int *)(first_tp + flags_offset) & SETXID_FLAG)
        own = first_tp;
    if (!libc_action.handler || !(*(volatile int *)(own + flags_offset) & SETXID_FLAG))
        return; /* nobody's: libc's handler would look for a call that is over */
    if (own != tp)
        arch_tp_set(own);
    libc_action.handler(sig, info, context);
    if (own != tp)
        arch_tp_set(tp);
}

void tcb_wrap_setxid(uintptr_t main_tp, size_t cancelhandling_offset)
{
    struct kernel_action now;
    memset(&now, 0, sizeof now);
    sys_call(SYS_rt_sigaction, SIGSETXID, NULL, &now, KERNEL_NSIG_BYTES);
    if (now.handler == on_setxid)
        return;
    libc_action = now;
    first_tp = main_tp;
    flags_offset = cancelhandling_offset;
    now.handler = on_setxid;
    now.flags |= SA_SIGINFO | SA_RESTART | KERNEL_SA_RESTORER;
    now.restorer = arch_sigreturn;
    sys_call(SYS_rt_sigaction, SIGSETXID, &now, NULL, KERNEL_NSIG_BYTES);
}
