/*
 * raddle.c: the launcher. Puts libraddle.so first in LD_PRELOAD, its own options into
 * RADDLE_* variables, and becomes the command.
 *
 * Always true: every failure is one line on stderr that begins with "raddle: " and an exit
 * status a shell user knows from env(1): 125 for a mistake of ours or in our arguments, 126
 * for a command that cannot be run, 127 for one that is not there. Once the command runs,
 * its status is the status, because it has replaced us.
 *
 * A program of its own, statically linked; shares only the option table with the library.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/option.h"
#include "raddle.h"

enum { EXIT_OURS = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

static const char usage[] =
    "usage: raddle [options] [--] command [argument...]\n"
    "       raddle [options] doctor\n"
    "\n"
    "Run a command with its pthreads as fibers on a few kernel threads. doctor prints\n"
    "what works on this machine, and what is used in place of the rest.\n"
    "\n"
    "  --procs N       let at most N fibers run at the same time (default: one per CPU)\n"
    "  --poller WHICH  wait for descriptors with auto, uring or epoll (default: auto)\n"
    "  --bound         give every thread a kernel thread of its own, as without raddle\n"
    "  --stats         print counters to stderr when the command exits\n"
    "  --version       print the version\n"
    "  --help          print this\n"
    "\n"
    "Each option sets a RADDLE_* variable; raddle(7) has them all. The exit status is the\n"
    "command's, or 125 if raddle itself fails, 126 if the command cannot be run, 127 if it\n"
    "is not found.\n";

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
    va_list args;

    fputs("raddle: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

#define die(status, ...)                                                                           \
    do {                                                                                           \
        say(__VA_ARGS__);                                                                          \
        exit(status);                                                                              \
    } while (0)

/* A malformed value of an option: the table's own words, without what it would use
 * instead, for here nothing is used instead. */
static void refuse(const char *line)
{
    char *text = strdup(line);
    char *instead = text ? strstr(text, "; using ") : NULL;

    if (instead)
        *instead = 0;
    die(EXIT_OURS, "%s", text ? text : line);
}

static void set_env(const char *name, const char *value)
{
    if (setenv(name, value, 1) != 0)
        die(EXIT_OURS, "cannot set %s: %s", name, strerror(errno));
}

/* "--name value" and "--name=value"; NULL if *argv is another option. */
static const char *value_of(const char *name, char ***argv)
{
    const char *arg = **argv;
    size_t len = strlen(name);

    if (strncmp(arg, name, len) != 0 || (arg[len] != 0 && arg[len] != '='))
        return NULL;
    if (arg[len] == '=')
        return arg + len + 1;
    if (!(*argv)[1])
        die(EXIT_OURS, "%s needs a value; see raddle --help", name);
    (*argv)++;
    return **argv;
}

static void set_option(const char *name, const char *flag, const char *value)
{
    /* An empty variable means "unset"; an empty argument is a mistake. */
    if (!*value)
        die(EXIT_OURS, "%s needs a value; see raddle --help", flag);
    option_set(NULL, name, value, refuse);
    set_env(name, value);
}

/* Consumes our options and returns what follows them. */
static char **parse_args(char **argv)
{
    const char *value;

    for (argv++; *argv && **argv == '-'; argv++) {
        if (strcmp(*argv, "--") == 0)
            return argv + 1;
        if (strcmp(*argv, "--help") == 0 || strcmp(*argv, "-h") == 0) {
            fputs(usage, stdout);
            exit(fflush(stdout) == 0 ? 0 : EXIT_OURS);
        } else if (strcmp(*argv, "--version") == 0) {
            puts("raddle " RADDLE_VERSION);
            exit(fflush(stdout) == 0 ? 0 : EXIT_OURS);
        } else if (strcmp(*argv, "--stats") == 0) {
            set_env("RADDLE_STATS", "1");
        } else if (strcmp(*argv, "--bound") == 0) {
            set_env("RADDLE_BOUND", "all");
        } else if ((value = value_of("--procs", &argv))) {
            set_option("RADDLE_PROCS", "--procs", value);
        } else if ((value = value_of("--poller", &argv))) {
            set_option("RADDLE_POLLER", "--poller", value);
        } else {
            die(EXIT_OURS, "unknown option '%s'; see raddle --help", *argv);
        }
    }
    return argv;
}

/* dir/rest in path if there is a library; the link to the versioned name may be missing,
 * because it comes with the development package. */
static bool library_at(char path[PATH_MAX], const char *dir, const char *rest)
{
    for (int versioned = 0; versioned < 2; versioned++) {
        int n = snprintf(path, PATH_MAX, "%s%s/libraddle.so%s", dir, rest, versioned ? ".0" : "");

        if (n < PATH_MAX && access(path, R_OK) == 0)
            return true;
    }
    return false;
}

/* Beside us as in a build tree, in the prefix that we are installed in, wherever that has
 * been moved to, or where it was configured to be. */
static void find_library(char path[PATH_MAX])
{
    static const char *const beside[] = { "", ("/../" RADDLE_LIBDIR_NAME), "/../lib", "/../lib64" };
    char dir[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    char *slash;

    dir[n > 0 ? n : 0] = 0;
    if ((slash = strrchr(dir, '/'))) {
        *slash = 0;
        for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++)
            if (library_at(path, dir, beside[i]))
                return;
    }
    if (!library_at(path, RADDLE_LIBDIR, ""))
        die(EXIT_OURS, "libraddle.so is neither beside %s/raddle nor in %s",
            slash ? dir : "/proc/self/exe", RADDLE_LIBDIR);
}

/* Ours first, then what was there, without any copy of us: two would fight over the threads. */
static void set_preload(const char *library)
{
    const char *old = getenv("LD_PRELOAD");
    char *list, *end, *entry, *rest, *copy;

    /* ld.so splits at both and knows no escape. */
    if (strpbrk(library, " :"))
        die(EXIT_OURS, "cannot preload %s: its path has a space or a colon", library);
    if (!old)
        old = "";
    copy = strdup(old);
    list = malloc(strlen(library) + strlen(old) + 2);
    if (!copy || !list)
        die(EXIT_OURS, "out of memory");
    end = stpcpy(list, library);
    for (entry = strtok_r(copy, " :", &rest); entry; entry = strtok_r(NULL, " :", &rest)) {
        const char *slash = strrchr(entry, '/'), *name = slash ? slash + 1 : entry;

        if (strcmp(name, "libraddle.so") != 0 && strncmp(name, "libraddle.so.", 13) != 0)
            end = stpcpy(stpcpy(end, ":"), entry);
    }
    set_env("LD_PRELOAD", list);
    free(list);
    free(copy);
}

/* Where execvp() will find the command, or NULL. */
static const char *resolve(const char *command, char path[PATH_MAX])
{
    const char *dirs = getenv("PATH");

    if (strchr(command, '/'))
        return command;
    if (!dirs)
        dirs = "/bin:/usr/bin";
    for (;;) {
        size_t n = strcspn(dirs, ":");
        struct stat st;
        int len = snprintf(path, PATH_MAX, "%.*s%s%s", (int)n, dirs, n ? "/" : "", command);

        if (len < PATH_MAX && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
            access(path, X_OK) == 0)
            return path;
        if (!dirs[n])
            return NULL;
        dirs += n + 1;
    }
}

/* Would exec raise our privileges? Then ld.so ignores LD_PRELOAD. */
static const char *privileged(int fd, const struct stat *st)
{
    struct statvfs fs;
    char caps[64];
    const char *why = NULL;

    if ((st->st_mode & S_ISUID) && st->st_uid != getuid())
        why = "is set-user-ID";
    else if ((st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP) && st->st_gid != getgid())
        why = "is set-group-ID";
    else if (getuid() != 0 && fgetxattr(fd, "security.capability", caps, sizeof caps) > 0)
        why = "has file capabilities";
    if (why && fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_NOSUID))
        why = NULL;
    return why;
}

/* Does an ELF program ask for a dynamic linker? In doubt yes: this is for a warning. */
static bool has_interpreter(int fd, const Elf64_Ehdr *eh)
{
    Elf64_Phdr ph;

    for (unsigned i = 0; i < eh->e_phnum; i++) {
        off_t at = (off_t)eh->e_phoff + (off_t)i * eh->e_phentsize;

        if (pread(fd, &ph, sizeof ph, at) != sizeof ph || ph.p_type == PT_INTERP)
            return true;
    }
    return false;
}

/* Why a preload would not take effect in this file, or NULL. A script is fine: its
 * interpreter inherits the environment. */
static const char *runs_natively(const char *path)
{
    const char *why = NULL;
    Elf64_Ehdr eh;
    struct stat st, self;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    /* Unreadable programs can be run; nothing to say about them. */
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pread(fd, &eh, sizeof eh, 0) == sizeof eh &&
        memcmp(eh.e_ident, ELFMAG, SELFMAG) == 0) {
        if (eh.e_ident[EI_CLASS] != ELFCLASS64)
            why = "is a 32-bit program";
        else if (!has_interpreter(fd, &eh))
            /* `raddle raddle command`: we are, but what we run will not be. */
            why = stat("/proc/self/exe", &self) == 0 && self.st_dev == st.st_dev &&
                          self.st_ino == st.st_ino
                      ? NULL
                      : "is statically linked";
        else
            why = privileged(fd, &st);
    }
    close(fd);
    return why;
}

static void run(char **command)
{
    char path[PATH_MAX];
    const char *file = resolve(command[0], path), *why = file ? runs_natively(file) : NULL;
    const char *quiet = getenv("RADDLE_QUIET"), *strict = getenv("RADDLE_STRICT");
    struct stat st;

    if (why && strict && strcmp(strict, "1") == 0)
        die(EXIT_OURS, "%s %s; raddle has no effect on it, and RADDLE_STRICT=1 forbids to run it",
            file, why);
    if (why && !(quiet && strcmp(quiet, "1") == 0))
        say("%s %s; raddle has no effect on it and it runs natively", file, why);
    execvp(command[0], command);
    if (errno == ENOENT && file && stat(file, &st) == 0)
        die(EXIT_CANNOT_RUN, "cannot run %s: its interpreter is missing", file);
    if (errno == ENOENT || errno == ENOTDIR)
        die(EXIT_NOT_FOUND, "%s: command not found", command[0]);
    if (stat(command[0], &st) == 0 && S_ISDIR(st.st_mode))
        die(EXIT_CANNOT_RUN, "cannot run %s: it is a directory", command[0]);
    die(EXIT_CANNOT_RUN, "cannot run %s: %s", command[0], strerror(errno));
}

/* The report is the library's: it prints it in place of running a program. */
static char **doctor(char **command)
{
    static char *nothing[] = { "true", NULL };
    char path[PATH_MAX];
    const char *file = resolve(nothing[0], path), *why = file ? runs_natively(file) : NULL;

    if (command[1])
        die(EXIT_OURS, "doctor takes no argument; see raddle --help");
    if (!file || why)
        die(EXIT_OURS, "doctor needs the program true: %s %s", file ? file : "true",
            why ? why : "is not found");
    set_env("RADDLE_DOCTOR", "1");
    return nothing;
}

int main(int argc, char **argv)
{
    char library[PATH_MAX];
    char **command = argc > 0 ? parse_args(argv) : argv;

    /* A command of that name is reached with -- or a path. */
    if (*command && strcmp(*command, "doctor") == 0 && strcmp(command[-1], "--") != 0)
        command = doctor(command);

    if (!*command)
        die(EXIT_OURS, "no command given; see raddle --help");
    find_library(library);
    set_preload(library);
    run(command);
}
