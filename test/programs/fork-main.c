/*
 * fork from main while threads run, allocate and block: the parent goes on undisturbed, the child
 * is main alone and ends as it likes: _exit, exit with stdio flushed, or exec (POSIX fork).
 */
#include "check.h"

#include <stdatomic.h>

static atomic_int stop, laps;

static void *busy(void *argument)
{
    while (!stop) {
        free(malloc((size_t)(laps % 3000)));
        laps++;
        if (laps % 100 == 0) {
            usleep(10);
        }
    }
    return argument;
}

int main(void)
{
    pthread_t threads[8];
    char text[128];
    int out[2];

    watchdog();
    for (int i = 0; i < 8; i++) {
        threads[i] = start(busy, NULL);
    }
    for (int i = 0; i < 30; i++) {
        SYS(pipe(out));
        pid_t child = SYS(fork());
        if (child == 0) {
            watchdog();
            SYS(dup2(out[1], 1));
            close(out[0]);
            close(out[1]);
            switch (i % 3) {
            case 0:
                write_all(1, "text", 4);
                _exit(i);
            case 1:
                printf("text");
                exit(i);
            default:
                snprintf(text, sizeof(text), "printf text; exit %d", i);
                execl("/bin/sh", "sh", "-c", text, (char *)NULL);
                _exit(127);
            }
        }
        close(out[1]);
        read_all(out[0], text, 4);
        CHECK_EQ(memcmp(text, "text", 4), 0);
        CHECK_EQ(SYS(read(out[0], text, 1)), 0);
        close(out[0]);
        int status = reap(child);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), i);
    }
    int before = laps;
    while (laps == before) {
        usleep(10);
    }
    stop = 1;
    for (int i = 0; i < 8; i++) {
        finish(threads[i]);
    }
    return 0;
}
