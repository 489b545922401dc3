/* Runs a program and prints, on descriptor 3, the number of each system call that its first kernel thread made after
 * execve, and how many kernel threads and processes it made: "calls N", "made N". For test/dormant.py.
 *
 *     count_calls command [argument...]
 *
 * Exit status: the program's; 77 where nobody may trace. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void stop(const char *what)
{
    perror(what);
    exit(77);
}

int main(int argc, char **argv)
{
    long calls = 0, made = 0, rings = 0;
    int status = 0, sig = 0;
    pid_t pid;

    if (argc < 2 || (pid = fork()) < 0)
        return 2;
    if (!pid) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0))
            stop("ptrace");
        raise(SIGSTOP);
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        return 77;
    if (ptrace(PTRACE_SETOPTIONS, pid, 0,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL))
        stop("ptrace");
    for (;;) {
        struct __ptrace_syscall_info info;

        if (ptrace(PTRACE_SYSCALL, pid, 0, sig))
            stop("ptrace");
        if (waitpid(pid, &status, 0) != pid)
            return 2;
        if (!WIFSTOPPED(status))
            break;
        sig = WSTOPSIG(status);
        if (sig == SIGTRAP && status >> 16) {
            calls = made = rings = 0; /* what was before execve is not the program's */
            sig = 0;
        } else if (sig == (SIGTRAP | 0x80)) {
            sig = 0;
            if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0)
                stop("PTRACE_GET_SYSCALL_INFO");
            if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
                continue;
            calls++;
#ifdef SYS_fork
            made += info.entry.nr == SYS_fork || info.entry.nr == SYS_vfork;
#endif
            made += info.entry.nr == SYS_clone || info.entry.nr == SYS_clone3;
            rings += info.entry.nr == SYS_io_uring_setup || info.entry.nr == SYS_epoll_create1;
        }
    }
    dprintf(3, "calls %ld\nmade %ld\nrings %ld\n", calls, made, rings);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
