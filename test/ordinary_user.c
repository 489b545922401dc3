/*
 * ordinary_user PROGRAM ARGS...: runs a program as a user who is not root and may lock 64 KiB of
 * memory, in a directory where it may make files. The user is one that nothing else uses, since such
 * memory is counted for each user. Without root only the limit is set.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rlimit limit = { 64 * 1024, 64 * 1024 };
    unsigned id = 200000 + (unsigned)getpid() % 1000000;

    char path[PATH_MAX];

    if (argc < 2 || !realpath(argv[1], path) || setrlimit(RLIMIT_MEMLOCK, &limit) ||
        chdir("/tmp")) {
        perror("ordinary_user");
        return 1;
    }
    if (getuid() == 0 && (setgroups(0, NULL) || setgid(id) || setuid(id))) {
        perror("ordinary_user");
        return 1;
    }
    if (access(path, X_OK)) { /* a checkout in somebody's home, say */
        fprintf(stderr, "skip: an ordinary user may not run %s\n", argv[1]);
        return 77;
    }
    execv(path, argv + 1);
    perror(argv[1]);
    return 1;
}
