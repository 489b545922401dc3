/* The constructor, and main's frame.
 *
 * The constructor runs in every program that loads the library, before main and before it is known
 * whether there will ever be a thread: it reads options, resolves the table, adopts the main thread,
 * and starts nothing. The library is linked with -z initfirst: other libraries' constructors may
 * create threads, and without it they would run before ours when we are preloaded (ld.so starts with
 * the library that was named last). It even runs before libc's constructor, so environ is not set.
 *
 * Nothing of it works unless symbol look-up finds us before libc. It does when we are preloaded, or
 * when the program itself is linked with us; not when the library comes in by dlopen, as a dependency
 * of a dependency, or behind an explicit -lc. Then one line says so, and all threads are libc's.
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
#include "shim/doctor.h"
#include "raddle.h"
#include "shim/deep.h"
#include "sync/sync.h"

static long write_log(int fd, const void *buf, unsigned long n)
{
    return sys_call(SYS_write, fd, buf, n);
}

static void exit_at_once(int status)
{
    sys_call(SYS_exit_group, status);
}

/* Before the options are read, since it also silences complaints about them. */
static bool quiet_asked(char **env)
{
    for (char **e = env; e && *e; e++)
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

EXPORT void raddle_nopreempt_begin(void)
{
    struct fiber *self = fiber_self;
    if (self)
        store_relaxed(&self->nopreempt, load_relaxed(&self->nopreempt) + 1);
}

EXPORT void raddle_nopreempt_end(void)
{
    struct fiber *self = fiber_self;
    uint32_t depth = self ? load_relaxed(&self->nopreempt) : 0;
    if (!depth)
        return;
    store_relaxed(&self->nopreempt, depth - 1);
    fence_compiler(); /* the handler that marks the fiber either sees 0 or marks it before we look */
    if (depth == 1 && unlikely(load_relaxed(&self->attention) & ATTENTION_PREEMPT) &&
        !(load_relaxed(&self->flags) & FIBER_DIRECT))
        preempt_due(self);
}

static void child_after_fork(void)
{
    struct fiber *self = fiber_self;
    if (self)
        runtime_after_fork(self);
    signal_after_fork();
    cpu_timers_after_fork();
}

/* Does the program's pthread_create mean libc's? Somebody else's is fine: it asked for the next one,
 * which is ours. */
static bool behind_libc(void)
{
    Dl_info found, libc;
    void *p = dlsym(RTLD_DEFAULT, "pthread_create");
    if (p == (void *)thread_create_here)
        return false;
    return dladdr(p, &found) && dladdr((void *)__errno_location, &libc) &&
           found.dli_fbase == libc.dli_fbase;
}

/* Takes every copy of us out of a list of libraries, where it stands. Is anything left? */
static bool remove_us(char *list)
{
    static const char us[] = "libraddle.so";
    char *to = list;
    for (char *from = list; *from;) {
        char *end = from, *name = from;
        for (; *end && *end != ':' && *end != ' '; end++) /* ld.so splits at both */
            if (*end == '/')
                name = end + 1;
        size_t n = sizeof us - 1;
        bool ours = (size_t)(end - name) >= n && !strncmp(name, us, n) &&
                    (name + n == end || name[n] == '.');
        if (!ours && end > from) {
            if (to > list)
                *to++ = ':';
            memmove(to, from, (size_t)(end - from));
            to += end - from;
        }
        from = *end ? end + 1 : end;
    }
    *to = 0;
    return to > list;
}

/* So that what this program executes does not run on us; what else is preloaded stays. Before libc
 * knows its environment. */
static void do_not_inherit(char **env)
{
    static const char variable[] = "LD_PRELOAD=";
    char **to = env;
    for (char **e = env; e && *e; e++)
        if (strncmp(*e, variable, sizeof variable - 1) != 0 || remove_us(*e + sizeof variable - 1))
            *to++ = *e;
    if (to)
        *to = NULL;
}

static int bind_self(struct fiber *self)
{
    return thread_bind(self, false);
}

static long bind_tid(uint32_t tid, bool bind)
{
    struct fiber *f = fiber_of_pid((pid_t)tid);
    if (!f)
        return fiber_tid_is_ours(tid) ? -ESRCH
               : bind                 ? (long)tid /* the kernel will see */
                                      : sys_call(SYS_tkill, tid, 0);
    if (load_relaxed(&f->state) == FIBER_ENDED || f->ended)
        return -ESRCH;
    int err = bind ? thread_bind(f, false) : 0;
    return err ? err : bind ? (long)load_relaxed(&f->carrier)->ktid : 0;
}

/* Only once, however often the library is named in LD_PRELOAD or found by a second path. */
__attribute__((constructor(101))) static void init(int argc, char **argv, char **env)
{
    static bool done;
    (void)argc;
    (void)argv;
    if (done)
        return;
    done = true;
    log_write = write_log;
    log_exit = exit_at_once;
    option_parse(env, quiet_asked(env) ? ignore : log_text);
    real_behind_libc = behind_libc();
    real_resolve();
    sync_real.mutex_lock = real.pthread_mutex_lock;
    sync_real.mutex_trylock = real.pthread_mutex_trylock;
    sync_real.mutex_clocklock = real.pthread_mutex_clocklock;
    sync_real.mutex_unlock = real.pthread_mutex_unlock;
    sync_real.mutex_consistent = real.pthread_mutex_consistent;
    sync_real.cond_signal = real.pthread_cond_signal;
    sync_real.block = handoff_move_enter;
    sync_real.unblock = handoff_leave;
    sync_real.bind = bind_self;
    sync_real.bind_tid = bind_tid;
    signal_init(real.sigaction);
    runtime_init();
    runtime_before_threads = deep_start;
    if (real_behind_libc) {
        runtime_mode = RUNTIME_DIRECT;
        log_unsupported(
            "loaded behind the C library, so it has no effect; preload it (raddle command), "
            "or link the program itself with -lraddle, before any -lc");
    }
    sync_real.direct = runtime_mode == RUNTIME_DIRECT;
    /* Registered before any of the program's, so the child's part runs before theirs. */
    pthread_atfork(NULL, NULL, child_after_fork);
    if (options.doctor)
        doctor();
    if (!options.inherit)
        do_not_inherit(env);
}

__attribute__((destructor(101))) static void fini(void)
{
    if (options.stats)
        stats_print();
}

static int (*program_main)(int, char **, char **);

static int main_frame(int argc, char **argv, char **envp)
{
    thread_run_main(program_main, argc, argv, envp);
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
