/*
 * vfork from threads: the child borrows the parent's memory and stack until exec or _exit, and
 * the parent goes on where it was (vfork(2)).
 */
#include "check.h"

enum { THREADS = 6, ROUNDS = 20 };

static void *body(void *argument)
{
    int me = (int)(long)argument + 1;
    char command[32];
    volatile int local = me;

    snprintf(command, sizeof(command), "exit %d", me);
    for (int i = 0; i < ROUNDS; i++) {
        volatile int seen_by_parent = 0;
        pid_t child = vfork();

        if (child == 0) {
            seen_by_parent = me;
            if (i % 2) {
                execl("/bin/sh", "sh", "-c", command, (char *)NULL);
            }
            _exit(me);
        }
        SYS(child);
        CHECK_EQ(seen_by_parent, me);
        CHECK_EQ(local, me);
        int status = reap(child);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), me);
    }
    return NULL;
}

int main(void)
{
    watchdog();
    run_threads(THREADS, body);
    return 0;
}
