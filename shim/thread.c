/* pthread and C11 thread functions: argument checks and conventions here, the work in lib/thread.
 *
 * Threads that have a kernel thread of their own (1:1 mode, foreign ones) are libc's. Positive error
 * codes are returned, errno is not touched. Called by the program, on its stacks. */
#include "shim/calls.h"

#include <limits.h>
#include <string.h>
#include "arch/syscall.h"
#include "base/log.h"
#include "libc/tcb.h"
#include "sync/waitq.h"

static int start(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *), void *arg,
                 bool c11)
{
    if (unlikely(runtime_mode == RUNTIME_DORMANT))
        runtime_activate();
    if (runtime_mode == RUNTIME_ACTIVE) {
        pthread_attr_t defaults;
        if (!attr && load_relaxed(&thread_defaults_changed) &&
            !pthread_getattr_default_np(&defaults))
            attr = &defaults;
        int err = thread_create(thread, attr, f, arg, c11);
        if (attr == &defaults)
            pthread_attr_destroy(&defaults);
        if (err != -ENOTSUP)
            return -err;
    }
    return -1;
}

int thread_create_here(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *), void *arg)
{
    int err = start(thread, attr, f, arg, false);
    return err < 0 ? REAL(pthread_create)(thread, attr, f, arg) : err;
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *),
                          void *arg) __attribute__((alias("thread_create_here")));

EXPORT int thrd_create(thrd_t *thread, thrd_start_t f, void *arg)
{
    int err = start(thread, NULL, (void *(*)(void *))(void (*)(void))f, arg, true);
    if (err < 0)
        return REAL(thrd_create)(thread, f, arg);
    return err == 0 ? thrd_success : err == EAGAIN || err == ENOMEM ? thrd_nomem : thrd_error;
}

static int join(pthread_t thread, void **result, uint64_t deadline)
{
    return runtime_mode == RUNTIME_ACTIVE ? thread_join(thread, result, deadline) : -ENOTSUP;
}

EXPORT int pthread_join(pthread_t thread, void **result)
{
    waiter_at_cancel_point();
    int err = join(thread, result, TIMER_NEVER);
    return err == -ENOTSUP ? REAL(pthread_join)(thread, result) : -err;
}

EXPORT int pthread_tryjoin_np(pthread_t thread, void **result)
{
    int err = join(thread, result, 0);
    return err == -ENOTSUP ? REAL(pthread_tryjoin_np)(thread, result) : -err;
}

EXPORT int pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock,
                                const struct timespec *abstime)
{
    uint64_t deadline = TIMER_NEVER;
    if (runtime_mode != RUNTIME_ACTIVE)
        return REAL(pthread_clockjoin_np)(thread, result, clock, abstime);
    waiter_at_cancel_point();
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)
        return EINVAL;
    if (abstime && !deadline_from(clock, abstime, &deadline))
        return EINVAL;
    int err = join(thread, result, deadline ? deadline : 1);
    return err == -ENOTSUP ? REAL(pthread_clockjoin_np)(thread, result, clock, abstime) : -err;
}

EXPORT int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *abstime)
{
    return pthread_clockjoin_np(thread, result, CLOCK_REALTIME, abstime);
}

EXPORT int thrd_join(thrd_t thread, int *result)
{
    void *value;
    int err = pthread_join(thread, &value);
    if (!err && result)
        *result = (int)(intptr_t)value;
    return err ? thrd_error : thrd_success;
}

EXPORT int pthread_detach(pthread_t thread)
{
    int err = runtime_mode == RUNTIME_ACTIVE ? thread_detach(thread) : -ENOTSUP;
    return err == -ENOTSUP ? REAL(pthread_detach)(thread) : -err;
}

EXPORT int thrd_detach(thrd_t thread)
{
    return pthread_detach(thread) ? thrd_error : thrd_success;
}

EXPORT _Noreturn void pthread_exit(void *result)
{
    thread_exit(result);
}

EXPORT _Noreturn void thrd_exit(int result)
{
    thread_exit((void *)(intptr_t)result);
}

EXPORT int pthread_cancel(pthread_t thread)
{
    int err = runtime_mode == RUNTIME_ACTIVE ? thread_cancel(thread) : -ENOTSUP;
    if (err != -ENOTSUP)
        return -err;
    if (thread != pthread_self())
        thread_cancel_prepare();
    err = REAL(pthread_cancel)(thread);
    if (!err)
        thread_cancelled(thread);
    return err;
}

EXPORT int pthread_setcancelstate(int state, int *old)
{
    int err = REAL(pthread_setcancelstate)(state, old);
    struct fiber *self = fiber_here();
    if (self && !err && state == PTHREAD_CANCEL_ENABLE)
        cancel_enabled(self);
    return err;
}

EXPORT int pthread_getattr_np(pthread_t thread, pthread_attr_t *attr)
{
    struct fiber *f = fiber_ours(thread);
    if (!f || load_relaxed(&f->flags) & FIBER_MAIN)
        return REAL(pthread_getattr_np)(thread, attr);
    int err = pthread_attr_init(attr);
    if (err)
        return err;
    char *low;
    size_t size;
    fiber_stack_bounds(f, &low, &size);
    pthread_attr_setguardsize(attr, (size_t)f->guard_pages * 4096);
    int policy;
    struct sched_param param;
    cpu_set_t cpus[8];
    if (!pthread_getschedparam(thread, &policy, &param)) {
        pthread_attr_setschedpolicy(attr, policy);
        pthread_attr_setschedparam(attr, &param);
    }
    if (!pthread_getaffinity_np(thread, sizeof cpus, cpus))
        pthread_attr_setaffinity_np(attr, sizeof cpus, cpus);
    pthread_attr_setdetachstate(attr,
                                f->detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
    return pthread_attr_setstack(attr, low, size);
}

EXPORT int pthread_setattr_default_np(const pthread_attr_t *attr)
{
    int err = REAL(pthread_setattr_default_np)(attr);
    pthread_attr_t now;
    if (!err)
        store_relaxed(&thread_defaults_changed, true);
    if (!err && runtime_mode == RUNTIME_ACTIVE && !pthread_getattr_default_np(&now)) {
        size_t size, guard;
        pthread_attr_getstacksize(&now, &size);
        pthread_attr_getguardsize(&now, &guard);
        pthread_attr_destroy(&now);
        fiber_set_default_stack(size, guard);
    }
    return err;
}

/* For /proc and debuggers, as far as there is a kernel thread to name. */
static long name_kernel_thread(uint32_t ktid, void *name)
{
    char path[64];
    log_format(path, sizeof path, "/proc/self/task/%u/comm", ktid);
    long fd = sys_call(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        sys_call(SYS_write, fd, name, strlen(name));
        sys_call(SYS_close, fd);
    }
    return 0;
}

EXPORT int pthread_setname_np(pthread_t thread, const char *name)
{
    struct fiber *f = fiber_ours(thread);
    if (!f)
        return REAL(pthread_setname_np)(thread, name);
    size_t n = strnlen(name, sizeof f->name);
    if (n == sizeof f->name)
        return ERANGE;
    memcpy(f->name, name, n + 1);
    names_show();
    thread_named(f, name);
    if (load_relaxed(&f->carrier))
        thread_ask(f, name_kernel_thread, (void *)(uintptr_t)name);
    if (load_relaxed(&f->flags) & FIBER_MAIN) {
        /* The main thread's name is the process's, whichever worker runs it. */
        long fd = sys_call(SYS_openat, AT_FDCWD, "/proc/self/comm", O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
            sys_call(SYS_write, fd, name, n);
            sys_call(SYS_close, fd);
        }
    }
    return 0;
}

bool thread_show_name(struct fiber *f)
{
    struct worker *c = load_acquire(&f->carrier);
    if (!c || load_relaxed(&f->flags) & FIBER_BOUND || c->named)
        return c;
    c->named = true; /* it need not do so itself when it gets there */
    if (f->name[0])
        thread_ask(f, name_kernel_thread, f->name);
    return true;
}

/* What it shows now: somebody may have written to its comm. */
static long name_of_kernel_thread(uint32_t ktid, void *name)
{
    char path[64];
    log_format(path, sizeof path, "/proc/self/task/%u/comm", ktid);
    long fd = sys_call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    long n = fd < 0 ? fd : sys_call(SYS_read, fd, name, 16);
    if (fd >= 0)
        sys_call(SYS_close, fd);
    if (n > 0)
        ((char *)name)[n - 1] = 0; /* the end of the line */
    return n;
}

EXPORT int pthread_getname_np(pthread_t thread, char *name, size_t size)
{
    struct fiber *f = fiber_ours(thread);
    if (!f)
        return REAL(pthread_getname_np)(thread, name, size);
    if (size < sizeof f->name)
        return ERANGE;
    struct worker *c = load_acquire(&f->carrier);
    if (c && (c->named || load_relaxed(&f->flags) & FIBER_BOUND)) {
        char now[16] = "";
        if (thread_ask(f, name_of_kernel_thread, now) > 0)
            memcpy(f->name, now, sizeof now);
    }
    if (f->name[0]) {
        memcpy(name, f->name, sizeof f->name);
        return 0;
    }
    /* Its creator was no thread of ours: the name of the process. */
    memset(name, 0, size);
    long fd = sys_call(SYS_openat, AT_FDCWD, "/proc/self/comm", O_RDONLY | O_CLOEXEC);
    long n = fd < 0 ? fd : sys_call(SYS_read, fd, name, sizeof f->name);
    if (fd >= 0)
        sys_call(SYS_close, fd);
    if (n > 0)
        name[n - 1] = 0; /* the end of the line */
    return n > 0 ? 0 : n < 0 ? (int)-n : EINVAL;
}

EXPORT pid_t gettid(void)
{
    struct fiber *f = fiber_self; /* also of a bound thread, which may have had it before */
    return f && !(load_relaxed(&f->flags) & FIBER_VFORK) ? (pid_t)f->tid : REAL(gettid)();
}
