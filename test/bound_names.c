/* Starts a thread for each name that it is given; "name=other" takes the second name later. When all wait,
 * prints the names among them that a kernel thread of the process has. A thread that shares its kernel
 * thread with others has none there while it waits. For bound.py. */
#include "programs/check.h"

#include <dirent.h>

static pthread_barrier_t barrier;

static void *body(void *argument)
{
    char name[32];
    snprintf(name, sizeof name, "%s", (char *)argument);
    char *other = strchr(name, '=');
    if (other) {
        *other++ = 0;
    }
    OK(pthread_setname_np(pthread_self(), name));
    if (other) {
        sched_yield();
        OK(pthread_setname_np(pthread_self(), other));
    }
    pthread_barrier_wait(&barrier); /* all have their names */
    pthread_barrier_wait(&barrier);
    return NULL;
}

static int kernel_has(const char *name)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int found = 0;
    CHECK(tasks != NULL);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], line[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *f = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (f) {
            found |= fgets(line, sizeof line, f) && strcspn(line, "\n") == strlen(name) &&
                     !strncmp(line, name, strlen(name));
            fclose(f);
        }
    }
    closedir(tasks);
    return found;
}

int main(int argc, char **argv)
{
    pthread_t threads[64];
    watchdog();
    CHECK(argc < 64);
    OK(pthread_barrier_init(&barrier, NULL, (unsigned)argc));
    for (int i = 1; i < argc; i++) {
        threads[i] = start(body, argv[i]);
    }
    pthread_barrier_wait(&barrier);
    nap(100); /* they wait again, and whoever ran them has taken its name back */
    for (int i = 1; i < argc; i++) {
        char *name = strchr(argv[i], '=') ? strchr(argv[i], '=') + 1 : argv[i];
        if (kernel_has(name)) {
            printf("%s\n", argv[i]);
        }
    }
    pthread_barrier_wait(&barrier);
    for (int i = 1; i < argc; i++) {
        finish(threads[i]);
    }
    return 0;
}
