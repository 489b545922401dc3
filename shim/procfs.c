/* Files of /proc that belong to one thread: /proc/thread-self/..., /proc/self/task/TID/..., /proc/TID/...
 *
 * The kernel has them for its own threads. A fiber that opens its own, or whose tid is in the path, gets a
 * kernel thread for it (house rule: what exists only per kernel thread binds), and the path that is opened
 * has that one's tid. So a name that is written to comm is the thread's, and stat and its like go on telling
 * about this thread; the times in them count from then, and the tid that they show is the kernel's.
 *
 * Looked at after the kernel has answered, as only then the path is known to be readable memory: a tid of
 * ours is ENOENT there, and thread-self a file of whichever worker runs the fiber.
 *
 * Called on the program's stacks, outside the runtime, also for calls that libc makes (shim/deep.c). */
#include "shim/calls.h"

#include <string.h>
#include "arch/syscall.h"
#include "base/log.h"

static const char *after(const char *path, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(path, prefix, n) ? NULL : path + n;
}

static const char *after_number(const char *path, uint32_t *number)
{
    const char *p = path;
    uint64_t n = 0;
    while (*p >= '0' && *p <= '9' && n < UINT32_MAX)
        n = n * 10 + (uint64_t)(*p++ - '0');
    *number = (uint32_t)n;
    return p == path || n > UINT32_MAX || (*p && *p != '/') ? NULL : p;
}

/* The fiber whose file it is, and what comes after its tid. */
static struct fiber *fiber_of_path(const char *path, bool found, const char **rest)
{
    const char *p;
    uint32_t number;
    if (found) {
        if (!(*rest = after(path, "/proc/thread-self")) || (**rest && **rest != '/'))
            return NULL;
        return fiber_of_pid(0);
    }
    if (!(path = after(path, "/proc/")))
        return NULL;
    if ((p = after(path, "self/task/"))) {
        *rest = after_number(p, &number);
    } else if ((p = after_number(path, &number)) && fiber_tid_is_ours(number)) {
        *rest = p;
    } else if (p && number == (uint32_t)sys_call(SYS_getpid) && (p = after(p, "/task/"))) {
        *rest = after_number(p, &number);
    } else {
        return NULL;
    }
    return *rest && fiber_tid_is_ours(number) ? fiber_of_pid((pid_t)number) : NULL;
}

long proc_open(int dir, const char *path, int flags, mode_t mode, long fd)
{
    const char *rest;
    char real[128];
    (void)dir; /* the path is absolute */
    if (likely(path[0] != '/' || path[1] != 'p' || path[2] != 'r'))
        return fd;
    struct fiber *f = fiber_of_path(path, fd >= 0, &rest);
    if (!f || load_relaxed(&f->state) == FIBER_ENDED || strlen(rest) > 64)
        return fd;
    if (f == fiber_self && load_relaxed(&f->flags) & FIBER_BOUND && fd >= 0)
        return fd; /* it is the right one already */
    if (thread_bind(f, false) || !thread_show_name(f))
        return fd;
    if (fd >= 0)
        sys_call(SYS_close, fd);
    log_format(real, sizeof real, "/proc/self/task/%u%s", load_relaxed(&f->carrier)->ktid, rest);
    return sys_call(SYS_openat, AT_FDCWD, real, flags, mode);
}
