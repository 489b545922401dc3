/* SIGSTOP stops a process with all its threads, SIGCONT lets them go on and runs its handler; no call that
 * waits notices. */
#include "check.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

static atomic_long *progress;
static volatile int continued;

static void handler(int sig)
{
    (void)sig;
    continued++;
}

static void *counts(void *argument)
{
    for (;;) {
        atomic_fetch_add(progress, 1);
        struct timespec t = { 0, 500000 };
        int r = nanosleep(&t, NULL);
        CHECK(r == 0 || errno == EINTR);
    }
    return argument;
}

int main(void)
{
    watchdog();
    progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(progress != MAP_FAILED);
    pid_t child = SYS(fork());
    if (child == 0) {
        struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
        watchdog();
        SYS(sigaction(SIGCONT, &action, NULL));
        for (int i = 0; i < 3; i++) {
            start(counts, NULL);
        }
        while (continued < 2) {
            nap(1);
        }
        _exit(9);
    }
    for (int i = 0; i < 2; i++) {
        int status;
        while (atomic_load(progress) < 20) {
            nap(1);
        }
        SYS(kill(child, SIGSTOP));
        CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
        CHECK(WIFSTOPPED(status));
        atomic_store(progress, 0);
        nap(30);
        CHECK_EQ(atomic_load(progress), 0);
        SYS(kill(child, SIGCONT));
        if (i == 0) {
            CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
            CHECK(WIFCONTINUED(status));
        }
    }
    int status = reap(child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 9);
    return 0;
}
