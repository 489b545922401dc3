/* `raddle doctor`: what this kernel, this libc and these limits allow, and what is used in place of the
 * rest. One line for each feature, on standard output.
 *
 * The launcher runs an empty command with RADDLE_DOCTOR=1; the constructor then comes here instead of
 * going on. The answers are those of the runtime itself: it is activated, as the first thread of a
 * program would do it, and asked. The process ends here. */
#include "shim/calls.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include "arch/syscall.h"
#include "base/log.h"
#include "base/option.h"
#include "fiber/stack.h"
#include "libc/tcb.h"
#include "poller/poller.h"
#include "raddle.h"
#include "shim/doctor.h"

extern const char *gnu_get_libc_version(void);

#define NAME_WIDTH 13

__attribute__((format(printf, 2, 3))) static void line(const char *what, const char *format, ...)
{
    char text[LOG_LINE_MAX];
    size_t n = 0;
    va_list args;
    for (; what[n]; n++)
        text[n] = what[n];
    while (n < NAME_WIDTH)
        text[n++] = ' ';
    va_start(args, format);
    n += log_vformat(text + n, sizeof text - n, format, args);
    va_end(args);
    text[n++] = '\n';
    sys_call(SYS_write, 1, text, n);
}

/* A number in a file of the kernel's; 0: not to be had. */
static unsigned long number_in(const char *path)
{
    char text[32];
    unsigned long value = 0;
    long fd = sys_call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    long n = fd < 0 ? fd : sys_call(SYS_read, fd, text, sizeof text);
    if (fd >= 0)
        sys_call(SYS_close, fd);
    for (long i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
        value = value * 10 + (unsigned long)(text[i] - '0');
    return value;
}

static const char *limit_text(unsigned long value, unsigned long unit, char *room, size_t size)
{
    if (value == RLIM_INFINITY)
        return "unlimited";
    log_format(room, size, "%lu", value / unit);
    return room;
}

static void limits(void)
{
    char soft[24], hard[24];
    struct rlimit files = { 0, 0 }, locked = { 0, 0 }, tasks = { 0, 0 };
    getrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_MEMLOCK, &locked);
    getrlimit(RLIMIT_NPROC, &tasks);
    line("descriptors", "%s, at most %s (ulimit -n)", limit_text(files.rlim_cur, 1, soft, 24),
         limit_text(files.rlim_max, 1, hard, 24));
    line("memlock", "%s KiB (ulimit -l); rings are charged to it for users other than root",
         limit_text(locked.rlim_cur, 1024, soft, 24));
    line("processes", "%s (ulimit -u); a kernel thread counts as one",
         limit_text(tasks.rlim_cur, 1, soft, 24));
    unsigned long maps = number_in("/proc/sys/vm/max_map_count");
    if (stack_guards_are_mapped())
        line("mappings", "%lu (vm.max_map_count); allows about %lu threads", maps, maps / 2);
    else
        line("mappings", "%lu (vm.max_map_count); threads need none of their own", maps);
}

void doctor(void)
{
    struct utsname kernel = { 0 };
    options.quiet = true;
    options.strict = false; /* what does not work is what we are here to tell */
    sys_call(SYS_uname, &kernel);
    line("raddle", "%s", RADDLE_VERSION);
    line("kernel", "%s %s %s", kernel.sysname, kernel.release, kernel.machine);
    const char *layout = NULL;
    tcb_find(&layout);
    if (options.debug_fail == FAIL_LAYOUT)
        layout = "not recognised, for a test";
    arch_init(options.debug_fail == FAIL_FSGSBASE);
    runtime_activate();
    bool fibers = runtime_mode == RUNTIME_ACTIVE;
    const char *why = runtime_direct_reason ? runtime_direct_reason : "asked for (RADDLE_BOUND)";
    line("libc", "glibc %s; %s", gnu_get_libc_version(),
         layout && *layout ? layout : "its thread layout was recognised");
    line("switch", "%s",
         arch_tp_native() ? "wrfsbase, in user space"
                          : "arch_prctl, a system call for each (no fsgsbase)");
    const char *denied = options.debug_fail == FAIL_URING ? "denied for a test"
                                                          : uring_unavailable();
    line("io_uring", "%s", denied ? denied : "rings without descriptors, waits on futexes");
    if (fibers)
        line("poller", "%s", sched_poller->name);
    else
        line("poller", "none: threads wait in the kernel");
    line("children", "%s",
         uring_waits_for_children() ? "waited for in the ring"
                                    : "one child on a pidfd; other waits block a kernel thread");
    line("guards", "%s",
         stack_guards_are_mapped() ? "mprotect, a mapping for each thread (no MADV_GUARD_INSTALL)"
                                   : "MADV_GUARD_INSTALL, no mapping");
    line("membarrier", "%s", sched.membarrier ? "yes" : "no: the monitor pauses instead");
    limits();
    if (fibers)
        line("threads", "fibers on %u kernel threads (procs)", sched.nprocs);
    else
        line("threads", "kernel threads (1:1): %s", why);
    sys_call(SYS_exit_group, 0);
    __builtin_unreachable();
}
