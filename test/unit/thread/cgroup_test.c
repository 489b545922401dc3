/* cgroup.c: the quota that a tree of files gives, v2 and v1, the group's own and those above it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "thread/internal.h"

static char root[64], list[128];

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    cr_assert(f != NULL);
    fputs(text, f);
    fclose(f);
}

static void start(const char *groups)
{
    strcpy(root, "/tmp/raddle-cgroup-XXXXXX");
    cr_assert(mkdtemp(root) != NULL);
    put("list", groups);
    snprintf(list, sizeof list, "%s/list", root);
}

static uint32_t cpus(void)
{
    return cgroup_cpus_in(list, root, root);
}

static void end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_assert_eq(system(command), 0);
}

Test(cgroup, the_smallest_quota_on_the_way_up_counts_rounded_up)
{
    start("0::/a/b\n");
    put("a/b/cpu.max", "400000 100000\n");
    cr_assert_eq(cpus(), 4);
    put("a/cpu.max", "250000 100000\n");
    cr_assert_eq(cpus(), 3);
    put("a/b/cpu.max", "50000 100000\n");
    cr_assert_eq(cpus(), 1);
    end();
}

Test(cgroup, it_is_read_again_each_time)
{
    start("0::/a\n");
    put("a/cpu.max", "max 100000\n");
    cr_assert_eq(cpus(), 0);
    put("a/cpu.max", "200000 100000\n");
    cr_assert_eq(cpus(), 2);
    put("a/cpu.max", "max 100000\n");
    cr_assert_eq(cpus(), 0);
    end();
}

Test(cgroup, version_1_has_two_files)
{
    start("3:memory:/x\n2:cpu,cpuacct:/a\n0::/\n");
    put("a/cpu.cfs_quota_us", "150000\n");
    put("a/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(cpus(), 2);
    put("a/cpu.cfs_quota_us", "-1\n");
    cr_assert_eq(cpus(), 0);
    end();
}

Test(cgroup, what_cannot_be_read_is_no_limit)
{
    start("0::/a\n");
    cr_assert_eq(cpus(), 0);
    put("a/cpu.max", "nonsense\n");
    cr_assert_eq(cpus(), 0);
    put("a/cpu.max", "100000 0\n");
    cr_assert_eq(cpus(), 0);
    end();
    cr_assert_eq(cpus(), 0);
}
