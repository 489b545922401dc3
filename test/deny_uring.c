/*
 * deny_uring PROGRAM ARGS...: runs a program under a seccomp filter that denies what the default profile of
 * container engines denies, io_uring above all: EPERM, and ENOSYS for clone3, whose flags a filter
 * cannot see.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const unsigned denied[] = {
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_clone3,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_kcmp,
    SYS_unshare,
    SYS_setns,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_open_by_handle_at,
    SYS_fanotify_init,
    SYS_move_pages,
    SYS_mbind,
    SYS_set_mempolicy,
    SYS_quotactl,
};

enum { DENIED = sizeof denied / sizeof *denied };

int main(int argc, char **argv)
{
    struct sock_filter code[2 * DENIED + 2];
    struct sock_fprog program = { 0, code };

    code[program.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                       offsetof(struct seccomp_data, nr));
    for (int i = 0; i < DENIED; i++) {
        unsigned error = denied[i] == SYS_clone3 ? ENOSYS : EPERM;

        code[program.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, denied[i], 0,
                                                           1);
        code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
                                                           SECCOMP_RET_ERRNO | error);
    }
    code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("deny_uring");
        return 1;
    }
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 1;
}
