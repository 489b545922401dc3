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

/* Looks at all tasks: is one shown by this name? Their CPU time in ticks: the first one's, the others'. */
static int shown(const char *wanted, long *first, long *others)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int found = 0;

    CHECK(tasks != NULL);
    *first = *others = 0;
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], line[500] = "", *name = line, *rest;
        long user = 0, kernel = 0;
        FILE *f;

        snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
        if (entry->d_name[0] == '.' || (f = fopen(path, "r")) == NULL) {
            continue;
        }
        if (fgets(line, sizeof line, f) && (name = strchr(line, '(')) != NULL &&
            (rest = strrchr(line, ')')) != NULL) {
            *rest = 0;
            found += strcmp(name + 1, wanted) == 0;
            sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user,
                   &kernel);
            *(atoi(entry->d_name) == getpid() ? first : others) += user + kernel;
        }
        fclose(f);
    }
    closedir(tasks);
    return found;
}

int main(void)
{
    pthread_t threads[3];
    char process[32] = "", name[32] = "";
    long first, others, first_then, others_then;
    const long second = sysconf(_SC_CLK_TCK);

    watchdog();
    for (int i = 0; i < 3; i++) {
        threads[i] = start(body, "by-its-name");
    }
    for (shown("", &first_then, &others_then); !shown("by-its-name", &first, &others); nap(5)) {
        /* Where threads share kernel threads, and for a second of CPU time only the first one ran. */
        if (first - first_then > second) {
            if (others - others_then <= second / 20) {
                SKIP("all threads run on the first kernel thread, whose name is the process's");
            }
            first_then = first;
            others_then = others;
        }
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
