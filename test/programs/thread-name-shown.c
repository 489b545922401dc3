/*
 * The name of a thread that computes is seen from outside, as comm of a task of the process; the
 * process's own name stays (pthread_setname_np(3)).
 */
#include "check.h"

#include <dirent.h>
#include <stdatomic.h>

static atomic_int stop;

static void *body(void *argument)
{
    OK(pthread_setname_np(pthread_self(), argument));
    while (!stop) {
    }
    return argument;
}

static int shown(const char *wanted)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int found = 0;

    CHECK(tasks != NULL);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], name[32] = "";
        FILE *f;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        if (entry->d_name[0] != '.' && (f = fopen(path, "r")) != NULL) {
            found += fgets(name, sizeof name, f) && strncmp(name, wanted, strlen(wanted)) == 0;
            fclose(f);
        }
    }
    closedir(tasks);
    return found;
}

int main(void)
{
    pthread_t threads[3];
    char process[32] = "", name[32] = "";

    watchdog();
    for (int i = 0; i < 3; i++) {
        threads[i] = start(body, "by-its-name");
    }
    while (!shown("by-its-name")) {
        nap(5);
    }
    FILE *f = fopen("/proc/self/comm", "r");
    CHECK(f && fgets(process, sizeof process, f));
    fclose(f);
    CHECK(strncmp(process, "thread-name-sho", 15) == 0);
    OK(pthread_getname_np(pthread_self(), name, sizeof name));
    CHECK_EQ(strcmp(name, "thread-name-sho"), 0);
    stop = 1;
    for (int i = 0; i < 3; i++) {
        finish(threads[i]);
    }
    return 0;
}
