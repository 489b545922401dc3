/*
 * How many kernel threads this process has. Include after check.h.
 */
#ifndef KERNEL_THREADS_H
#define KERNEL_THREADS_H

#include <dirent.h>

static inline int kernel_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    int n = -2; /* "." and ".." */

    CHECK(dir != NULL);
    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

#endif
