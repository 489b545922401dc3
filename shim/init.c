/* The constructor, and main's frame.
 *
 * The constructor runs in every program that loads the library, before main and before it is known
 * whether there will ever be a thread: it reads options, resolves the table, adopts the main thread,
 * and starts nothing. Calls that come even earlier (other libraries' constructors) go to libc.
 *
 * __libc_start_main is wrapped so that main runs above a frame of ours, in which pthread_exit from
 * the main thread ends. */
#include "shim/calls.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "arch/syscall.h"
#include "base/log.h"
#include "base/option.h"
#include "raddle.h"
#include "sync/sync.h"

extern char **environ;

static long write_log(int fd, const void *buf, unsigned long n)
{
    return sys_call(SYS_write, fd, buf, n);
}

/* Before the options are read, since it also silences complaints about them. */
static bool quiet_asked(void)
{
    for (char **e = environ; e && *e; e++)
        if (!strcmp(*e, "RADDLE_QUIET=1"))
            return true;
    return false;
}

static void ignore(const char *text)
{
    (void)text;
}

EXPORT const char *raddle_version(void)
{
    return RADDLE_VERSION;
}

static void child_after_fork(void)
{
    struct fiber *self = fiber_self;
    if (self)
        runtime_after_fork(self);
    signal_after_fork();
}

/* Only once, however often the library is named in LD_PRELOAD or found by a second path. */
__attribute__((constructor(101))) static void init(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    log_write = write_log;
    option_parse(environ, quiet_asked() ? ignore : log_text);
    real_resolve();
    sync_real.mutex_lock = real.pthread_mutex_lock;
    sync_real.mutex_trylock = real.pthread_mutex_trylock;
    sync_real.mutex_clocklock = real.pthread_mutex_clocklock;
    sync_real.mutex_unlock = real.pthread_mutex_unlock;
    signal_init(real.sigaction);
    runtime_init();
    /* Registered before any of the program's, so the child's part runs before theirs. */
    pthread_atfork(NULL, NULL, child_after_fork);
    if (!options.inherit)
        unsetenv("LD_PRELOAD");
}

__attribute__((destructor(101))) static void fini(void)
{
    if (options.stats)
        stats_print();
}

static int (*program_main)(int, char **, char **);

static int main_frame(int argc, char **argv, char **envp)
{
    return thread_run_main(program_main, argc, argv, envp);
}

typedef int start_main(int (*main)(int, char **, char **), int argc, char **argv,
                       void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
                       void *stack_end);
start_main __libc_start_main;

EXPORT int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv,
                             void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
                             void *stack_end)
{
    /* Programs linked against an older libc pass functions that only the old version runs. */
    start_main *next = NULL;
    if (init)
        next = (start_main *)dlvsym(RTLD_NEXT, "__libc_start_main", "GLIBC_2.2.5");
    else
        next = (start_main *)dlvsym(RTLD_NEXT, "__libc_start_main", "GLIBC_2.34");
    if (!next)
        next = (start_main *)dlsym(RTLD_NEXT, "__libc_start_main");
    program_main = main;
    return next(main_frame, argc, argv, init, fini, rtld_fini, stack_end);
}
