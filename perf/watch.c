/*
 * Reads /proc/PID for the load generator; see watch.h.
 */
#include "watch.h"

#include <dirent.h>

#include "bench.h"

double server_cpu(pid_t pid)
{
    char path[64], line[1024], *p = NULL;
    unsigned long user = 0, system = 0;
    FILE *f;

    if (!pid)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (f && fgets(line, sizeof line, f))
        p = strrchr(line, ')'); /* a command's name may hold spaces and brackets */
    if (f)
        fclose(f);
    /* After the name: state, ten numbers, then utime and stime in ticks. */
    if (!p ||
        sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        bench_die("the server is gone: no %s", path);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

long server_status(pid_t pid, const char *name)
{
    char path[64];

    if (!pid)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    return bench_proc_field(path, name);
}

void server_switches(pid_t pid, long *voluntary, long *involuntary)
{
    char path[300];
    struct dirent *e;
    DIR *d;

    *voluntary = *involuntary = 0;
    if (!pid)
        return;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    d = opendir(path);
    while (d && (e = readdir(d))) {
        long v, n;

        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, e->d_name);
        v = bench_proc_field(path, "voluntary_ctxt_switches");
        n = bench_proc_field(path, "nonvoluntary_ctxt_switches");
        if (v > 0)
            *voluntary += v;
        if (n > 0)
            *involuntary += n;
    }
    if (d)
        closedir(d);
}
