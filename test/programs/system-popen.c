/*
 * system, popen and posix_spawn from several threads at once, while others keep running
 * (POSIX system, popen, posix_spawn).
 */
#include "check.h"

#include <spawn.h>
#include <stdatomic.h>

enum { THREADS = 6, ROUNDS = 3 };

extern char **environ;
static atomic_int stop;
static atomic_long laps;

static void *busy(void *argument)
{
    while (!stop) {
        laps++;
        usleep(50);
    }
    return argument;
}

static void *body(void *argument)
{
    int me = *(int *)argument;
    char command[64], line[64];

    for (int i = 0; i < ROUNDS; i++) {
        snprintf(command, sizeof(command), "exit %d", me + i);
        int status = system(command);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), me + i);

        snprintf(command, sizeof(command), "echo %d; exit %d", me * 100 + i, me);
        FILE *in = popen(command, "r");
        CHECK(in != NULL);
        CHECK(fgets(line, sizeof(line), in) == line);
        CHECK_EQ(atoi(line), me * 100 + i);
        status = pclose(in);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), me);

        FILE *out = popen("read line && test \"$line\" = hello", "w");
        CHECK(out != NULL);
        fprintf(out, "hello\n");
        CHECK_EQ(pclose(out), 0);

        char *arguments[] = { "sh", "-c", command, NULL };
        posix_spawn_file_actions_t actions;
        pid_t child;
        OK(posix_spawn_file_actions_init(&actions));
        OK(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0));
        OK(posix_spawn(&child, "/bin/sh", &actions, NULL, arguments, environ));
        OK(posix_spawn_file_actions_destroy(&actions));
        status = reap(child);
        CHECK_EQ(WEXITSTATUS(status), me);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS], other;
    int numbers[THREADS];

    watchdog();
    CHECK(system(NULL) != 0);
    other = start(busy, NULL);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i + 1;
        threads[i] = start(body, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    stop = 1;
    finish(other);
    CHECK(laps > 0);
    return 0;
}
