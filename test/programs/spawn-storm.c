/*
 * Threads that call posix_spawn, posix_spawnp, system and popen all at once: every child is found, with
 * its own status and its own output, and no descriptor is left.
 */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>

#define N      12
#define ROUNDS 6

extern char **environ;

static int descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    CHECK(dir != NULL);
    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

static void spawns(int number, int search)
{
    char text[64];
    char *argv[] = { "sh", "-c", text, NULL };
    posix_spawn_file_actions_t actions;
    int ends[2];
    char c[2];
    pid_t child;

    SYS(pipe2(ends, O_CLOEXEC));
    OK(posix_spawn_file_actions_init(&actions));
    OK(posix_spawn_file_actions_adddup2(&actions, ends[1], 1));
    snprintf(text, sizeof(text), "printf %02d; exit %d", number, number);
    if (search) {
        OK(posix_spawnp(&child, "sh", &actions, NULL, argv, environ));
    } else {
        OK(posix_spawn(&child, "/bin/sh", &actions, NULL, argv, environ));
    }
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    read_all(ends[0], c, 2);
    CHECK_EQ((c[0] - '0') * 10 + c[1] - '0', number);
    CHECK_EQ(SYS(read(ends[0], c, 1)), 0);
    close(ends[0]);
    int status = reap(child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), number);
}

static void *storm(void *argument)
{
    int number = (int)(long)argument + 10;
    char text[64], line[64];

    for (int i = 0; i < ROUNDS; i++) {
        spawns(number, i % 2);
        snprintf(text, sizeof(text), "exit %d", number);
        int status = SYS(system(text));
        CHECK_EQ(WEXITSTATUS(status), number);
        snprintf(text, sizeof(text), "echo %d", number);
        FILE *out = popen(text, "r");
        CHECK(out != NULL);
        CHECK(fgets(line, sizeof(line), out) == line);
        CHECK_EQ(atoi(line), number);
        CHECK_EQ(pclose(out), 0);
        pid_t child;
        char *argv[] = { "none", NULL };
        CHECK_EQ(posix_spawn(&child, "/nonexistent/none", NULL, NULL, argv, environ), ENOENT);
    }
    return argument;
}

int main(void)
{
    watchdog();
    finish(start(storm, (void *)0));
    int before = descriptors();
    run_threads(N, storm);
    CHECK_EQ(descriptors(), before);
    return 0;
}
