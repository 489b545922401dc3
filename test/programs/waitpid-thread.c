/*
 * Threads that wait in waitpid, wait4 and waitid for children do not keep others from running:
 * the children end only after 100 other threads have made progress (POSIX waitpid).
 */
#include "check.h"

#include <stdatomic.h>

enum { CHILDREN = 6, OTHERS = 100, LAPS = 20 };

struct job {
    int how, gate[2];
};

static atomic_int laps;

static void *waits(void *argument)
{
    struct job *job = argument;
    siginfo_t info;
    int status;
    pid_t child = SYS(fork());

    if (child == 0) {
        char byte;

        close(job->gate[1]);
        _exit(read(job->gate[0], &byte, 1) == 1 ? 10 + job->how : 1);
    }
    switch (job->how % 3) {
    case 0:
        CHECK_EQ(waitpid(child, &status, 0), child);
        break;
    case 1:
        CHECK_EQ(wait4(child, &status, 0, NULL), child);
        break;
    default:
        SYS(waitid(P_PID, (id_t)child, &info, WEXITED));
        CHECK_EQ(info.si_pid, child);
        CHECK_EQ(info.si_code, CLD_EXITED);
        CHECK_EQ(info.si_status, 10 + job->how);
        return NULL;
    }
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 10 + job->how);
    return NULL;
}

static void *runs(void *argument)
{
    for (int i = 0; i < LAPS; i++) {
        laps++;
        usleep(100);
    }
    return argument;
}

int main(void)
{
    pthread_t waiters[CHILDREN], others[OTHERS];
    struct job jobs[CHILDREN];

    watchdog();
    for (int i = 0; i < CHILDREN; i++) {
        jobs[i].how = i;
        SYS(pipe(jobs[i].gate));
        waiters[i] = start(waits, &jobs[i]);
    }
    for (int i = 0; i < OTHERS; i++) {
        others[i] = start(runs, NULL);
    }
    for (int i = 0; i < OTHERS; i++) {
        finish(others[i]);
    }
    CHECK_EQ(laps, OTHERS * LAPS);
    for (int i = 0; i < CHILDREN; i++) {
        write_all(jobs[i].gate[1], "x", 1);
    }
    for (int i = 0; i < CHILDREN; i++) {
        finish(waiters[i]);
    }
    FAILS(waitpid(-1, NULL, 0), ECHILD);
    return 0;
}
