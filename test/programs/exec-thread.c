/*
 * exec from a thread that is not the first, while others wait, compute and write: the process becomes
 * the other program, with its pid, open descriptors and nothing else of the threads (execve(2)).
 */
#include "check.h"

#include <semaphore.h>

static int out[2], waiting[2];
static sem_t never;

static void *waits(void *argument)
{
    char c;

    switch ((long)argument % 3) {
    case 0:
        sem_wait(&never);
        break;
    case 1:
        (void)!read(waiting[0], &c, 1);
        break;
    default:
        for (volatile long i = 0;; i++) {
        }
    }
    return argument;
}

static void *executes(void *argument)
{
    nap(5);
    execl("/bin/sh", "sh", "-c", "echo $$; exit 11", (char *)NULL);
    _exit(127);
    return argument;
}

int main(void)
{
    char line[32];

    watchdog();
    for (int i = 0; i < 6; i++) {
        SYS(pipe(out));
        SYS(pipe(waiting));
        if (i == 3) { /* from now on a parent with threads, too */
            start(waits, (void *)0);
        }
        pid_t child = SYS(fork());
        if (child == 0) {
            watchdog();
            SYS(dup2(out[1], 1));
            close(out[0]);
            close(out[1]);
            for (long k = 0; k < 12; k++) {
                start(waits, (void *)(k % (i % 2 ? 2 : 3)));
            }
            finish(start(executes, NULL));
            _exit(126);
        }
        close(out[1]);
        FILE *in = fdopen(out[0], "r");
        CHECK(in != NULL);
        CHECK(fgets(line, sizeof(line), in) == line);
        CHECK_EQ(atoi(line), child);
        CHECK(fgets(line, sizeof(line), in) == NULL); /* nobody else has the other end */
        fclose(in);
        int status = reap(child);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 11);
        close(waiting[0]);
        close(waiting[1]);
    }
    return 0;
}
