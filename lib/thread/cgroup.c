/* The CPU quota of our cgroup, v2 or v1: RADDLE_PROCS' default is limited by it, because procs beyond
 * the quota only make the kernel throttle all of them.
 *
 * Runs at activation, on the program's stack, and then on the monitor's, for which the reader opens the
 * files. Whatever cannot be read or parsed means "no limit". */
#include <string.h>
#include "thread/internal.h"

/* Digits at *s; false at anything else ("max", "-1"). */
static bool number(const char **s, uint64_t *value)
{
    const char *p = *s;
    while (*p == ' ')
        p++;
    if (*p < '0' || *p > '9')
        return false;
    for (*value = 0; *p >= '0' && *p <= '9'; p++)
        *value = *value * 10 + (uint64_t)(*p - '0');
    *s = p;
    return true;
}

static void join(char *out, size_t size, const char *a, const char *b, size_t blen, const char *c)
{
    size_t n = strlen(a), m = strlen(c);
    if (n + blen + m + 1 > size) {
        *out = 0;
        return;
    }
    memcpy(out, a, n);
    memcpy(out + n, b, blen);
    memcpy(out + n + blen, c, m + 1);
}

static uint32_t cpus(uint64_t quota, uint64_t period)
{
    return period ? (uint32_t)((quota + period - 1) / period) : 0;
}

/* The quota of this group and of every one above it that is visible; the smallest counts. */
static uint32_t walk(const char *root, const char *path, size_t len, bool v2)
{
    char file[600], text[64];
    uint32_t best = 0;
    for (;;) {
        uint64_t quota = 0, period = 0;
        bool ok = false;
        join(file, sizeof file, root, path, len, v2 ? "/cpu.max" : "/cpu.cfs_quota_us");
        const char *s = text;
        if (reader_slurp(file, text, sizeof text) > 0 && number(&s, &quota)) {
            if (v2) {
                ok = number(&s, &period);
            } else {
                join(file, sizeof file, root, path, len, "/cpu.cfs_period_us");
                s = text;
                ok = reader_slurp(file, text, sizeof text) > 0 && number(&s, &period);
            }
        }
        uint32_t n = ok ? cpus(quota, period) : 0;
        if (n && (!best || n < best))
            best = n;
        if (len == 0)
            return best;
        while (len > 0 && path[--len] != '/')
            ;
    }
}

uint32_t cgroup_cpus(void)
{
    return cgroup_cpus_in("/proc/self/cgroup", "/sys/fs/cgroup", "/sys/fs/cgroup/cpu");
}

uint32_t cgroup_cpus_in(const char *list, const char *v2, const char *v1)
{
    char text[2048];
    if (reader_slurp(list, text, sizeof text) <= 0)
        return 0;
    for (char *line = text; line && *line;) {
        char *end = strchr(line, '\n');
        size_t n = end ? (size_t)(end - line) : strlen(line);
        char *path = memchr(line, '/', n);
        if (path) {
            size_t len = n - (size_t)(path - line);
            if (len == 1)
                len = 0;
            if (!strncmp(line, "0::", 3)) {
                uint32_t c = walk(v2, path, len, true);
                if (c)
                    return c;
            } else if (memmem(line, n, ":cpu,", 5) || memmem(line, n, ",cpu:", 5) ||
                       memmem(line, n, ":cpu:", 5)) {
                uint32_t c = walk(v1, path, len, false);
                if (c)
                    return c;
            }
        }
        line = end ? end + 1 : NULL;
    }
    return 0;
}
