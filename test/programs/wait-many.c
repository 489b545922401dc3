/* Many threads wait for a child each, with every function of the family; others wait for any. Each
 * status is collected once; stops, WNOWAIT, process groups, resource usage, errors and EINTR are as
 * documented. */
#include "check.h"

#include <signal.h>
#include <sys/syscall.h>

enum { CHILDREN = 60 };

static int gate[2];
static _Atomic int waiting;

static void on_signal(int sig)
{
    (void)sig;
}

static pid_t child(int code)
{
    pid_t pid = SYS(fork());

    if (!pid) {
        char c;

        alarm(60);
        close(gate[1]);
        while (read(gate[0], &c, 1) < 0) {
        }
        _exit(code);
    }
    return pid;
}

struct job {
    pid_t pid;
    int code;
};

static void *waiter(void *argument)
{
    struct job *job = argument;
    int status = 0;
    siginfo_t info;
    struct rusage usage;

    waiting++;
    switch (job->code % 4) {
    case 0:
        CHECK_EQ(SYS(waitpid(job->pid, &status, 0)), job->pid);
        break;
    case 1:
        usage.ru_maxrss = 0;
        CHECK_EQ(SYS(wait4(job->pid, &status, 0, &usage)), job->pid);
        CHECK(usage.ru_maxrss > 0);
        break;
    case 2:
        CHECK_EQ(SYS(waitid(P_PID, (id_t)job->pid, &info, WEXITED | WNOWAIT)), 0);
        CHECK_EQ(info.si_pid, job->pid);
        CHECK_EQ(info.si_code, CLD_EXITED);
        CHECK_EQ(SYS(waitpid(job->pid, &status, 0)), job->pid);
        break;
    case 3:
        CHECK_EQ(SYS(waitid(P_PID, (id_t)job->pid, NULL, WEXITED)), 0);
        return NULL;
    }
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), job->code);
    FAILS(waitpid(job->pid, &status, 0), ECHILD);
    return NULL;
}

static void *any(void *argument)
{
    _Atomic int *seen = argument;
    int status;
    pid_t pid;

    while ((pid = wait(&status)) > 0) {
        CHECK(WIFEXITED(status));
        CHECK_EQ(++seen[WEXITSTATUS(status)], 1);
    }
    CHECK_EQ(errno, ECHILD);
    return NULL;
}

static void *interrupted(void *argument)
{
    waiting = 1;
    FAILS(waitpid(*(pid_t *)argument, NULL, 0), EINTR);
    waiting = 2;
    return NULL;
}

static void open_gate(void)
{
    SYS(close(gate[1]));
    SYS(close(gate[0]));
    SYS(pipe(gate));
}

static void *stops(void *argument)
{
    pid_t pid = *(pid_t *)argument;
    int status;
    siginfo_t info;

    CHECK_EQ(SYS(waitpid(pid, &status, WUNTRACED)), pid);
    CHECK(WIFSTOPPED(status));
    SYS(kill(pid, SIGCONT));
    CHECK_EQ(SYS(waitid(P_PID, (id_t)pid, &info, WCONTINUED)), 0);
    CHECK_EQ(info.si_code, CLD_CONTINUED);
    waiting = 3;
    CHECK_EQ(SYS(waitpid(-pid, &status, 0)), pid); /* its group */
    CHECK(WIFSIGNALED(status));
    return NULL;
}

int main(void)
{
    static struct job jobs[CHILDREN];
    static _Atomic int seen[CHILDREN];
    pthread_t threads[CHILDREN], thread;
    struct sigaction action = { .sa_handler = on_signal };
    pid_t pid;

    watchdog();
    SYS(pipe(gate));
    finish(start(any, seen)); /* threads exist from here on; no children */
    for (int i = 0; i < CHILDREN; i++) {
        jobs[i] = (struct job){ child(i), i };
        threads[i] = start(waiter, &jobs[i]);
    }
    while (waiting < CHILDREN)
        nap(5);
    nap(20);
    open_gate();
    for (int i = 0; i < CHILDREN; i++)
        finish(threads[i]);
    for (int i = 0; i < CHILDREN; i++)
        child(i);
    for (int i = 0; i < 8; i++)
        threads[i] = start(any, seen);
    nap(10);
    open_gate();
    for (int i = 0; i < 8; i++)
        finish(threads[i]);
    for (int i = 0; i < CHILDREN; i++)
        CHECK_EQ(seen[i], 1);
    FAILS(waitpid(getpid(), NULL, 0), ECHILD);
    FAILS(waitid(P_PID, 1, NULL, WEXITED), ECHILD);
    FAILS(waitid(P_ALL, 0, NULL, 0), EINVAL);
    sigaction(SIGUSR1, &action, NULL);
    pid = child(0);
    waiting = 0;
    thread = start(interrupted, &pid);
    while (waiting < 2) {
        nap(5);
        if (waiting == 1)
            pthread_kill(thread, SIGUSR1);
    }
    finish(thread);
    CHECK_EQ(SYS(waitpid(pid, NULL, WNOHANG)), 0);
    setpgid(pid, pid);
    thread = start(stops, &pid);
    nap(10);
    SYS(kill(pid, SIGSTOP));
    while (waiting < 3)
        nap(1);
    nap(10);
    SYS(kill(pid, SIGKILL));
    finish(thread);
    return 0;
}
