/* Activation of the runtime at the first pthread_create, and fork.
 *
 * Invariants: until activation every call goes to libc and the only fiber is the main thread, a
 * kernel-thread fiber; after a failed activation that stays so for good (RUNTIME_DIRECT). A fork's
 * child is dormant again: what is left of the parent's runtime in its memory is forgotten, not
 * freed.
 *
 * Runs on the program's stacks, outside the runtime. */
#include "thread/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include "arch/syscall.h"
#include "base/log.h"
#include "base/option.h"
#include "libc/program.h"
#include "libc/tcb.h"
#include "handoff/carrier.h"
#include "handoff/handoff.h"
#include "poller/poller.h"
#include "sync/sync.h"
#include "thread/internal.h"

enum runtime_mode runtime_mode;
const char *runtime_direct_reason;
void (*runtime_before_threads)(void);

static struct fiber main_fiber;
static const char *layout_problem;

void runtime_init(void)
{
    main_fiber.tp = arch_tp_get();
    main_fiber.tid = (uint32_t)sys_call(SYS_gettid);
    store_relaxed(&main_fiber.flags, FIBER_KERNEL | FIBER_MAIN);
    store_relaxed(&main_fiber.state, FIBER_RUNNING);
    fiber_self = &main_fiber;
    store_relaxed(&fiber_live, 1);
    tcb_find(&layout_problem);
    waitq_start();
    cancel_init();
    if (options.bound == BOUND_ALL)
        runtime_mode = RUNTIME_DIRECT;
}

static uint32_t count_procs(void)
{
    uint64_t mask[128] = { 0 };
    long n = sys_call(SYS_sched_getaffinity, 0, sizeof mask, mask);
    uint32_t cpus = 0;
    for (long i = 0; i < n / 8; i++)
        cpus += (uint32_t)__builtin_popcountll(mask[i]);
    uint32_t quota = cgroup_cpus();
    if (quota && quota < cpus)
        cpus = quota;
    return cpus == 0 ? 1 : cpus > MAX_PROCS ? MAX_PROCS : cpus;
}

static void stay_direct(const char *why)
{
    sync_real.direct = true;
    runtime_mode = RUNTIME_DIRECT;
    runtime_direct_reason = why;
    log_unsupported("threads stay kernel threads (1:1): %s", why);
}

static int choose_poller(void)
{
    const char *why;
    const struct poller_backend *want = options.poller == POLLER_URING   ? &poller_uring
                                        : options.poller == POLLER_EPOLL ? &poller_epoll
                                                                         : NULL;
    poller_choose(want, options.debug_fail == FAIL_URING, &why);
    if (why && options.poller == POLLER_URING)
        log_unsupported("RADDLE_POLLER=uring cannot be had: %s; using epoll", why);
    return fd_table_start();
}

/* Hook of lib/libc, in a signal handler. */
static uintptr_t kernel_thread(void)
{
    struct fiber *self = fiber_self;
    bool ours = self && (load_relaxed(&self->flags) & (FIBER_DIRECT | FIBER_BOUND)) != FIBER_KERNEL;
    return ours && !(load_relaxed(&self->flags) & FIBER_VFORK) ? self->worker->tp : arch_tp_get();
}

struct stack_need {
    bool executable, looked;
};

/* As libc decides: by the program's header, and none means yes here; libraries may ask for it too. (The
 * vdso has none either.) One that dlopen adds later does not change our stacks. */
static int look_for_stack(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct stack_need *need = arg;
    bool found = false;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_GNU_STACK) {
            found = true;
            need->executable |= (info->dlpi_phdr[i].p_flags & PF_X) != 0;
        }
    if (!need->looked && !found)
        need->executable = true;
    need->looked = true;
    return need->executable;
}

#define WIDE 4096

/* While the process has one thread. Later, the kernel waits for an RCU grace period each time the table of
 * descriptors becomes larger, whoever needs a descriptor waits with it, and the monitor takes each of them for
 * blocked. A descriptor of our own: closing a copy of one of the program's would drop its record locks. */
static void widen_descriptor_table(void)
{
    struct rlimit limit;
    if (sys_call(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit))
        return;
    long fd = sys_call(SYS_eventfd2, 0, EFD_CLOEXEC);
    if (fd < 0)
        return;
    long last = (long)(limit.rlim_cur < WIDE ? limit.rlim_cur : WIDE) - 1;
    long far = sys_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, last);
    if (far >= 0)
        sys_call(SYS_close, far);
    sys_call(SYS_close, fd);
}

void runtime_activate(void)
{
    const char *why = layout_problem && *layout_problem ? layout_problem
                                                        : program_needs_kernel_threads();
    struct fiber *self = fiber_current();
    if (options.debug_fail == FAIL_LAYOUT)
        why = "libc's thread layout was not recognised (simulated)";
    if (self->inherits && load_relaxed(&self->flags) & FIBER_MAIN)
        why = "the first thread holds a mutex with priority inheritance";
    if (why && *why) {
        stay_direct(why);
        return;
    }
    if (tcb_activate(&why)) {
        stay_direct(why);
        return;
    }
    arch_init(options.debug_fail == FAIL_FSGSBASE);
    if (options.debug_fail == FAIL_GUARD)
        stack_no_guard_install();
    pthread_attr_t attr;
    size_t stack = 8 << 20, guard = 4096;
    if (!pthread_getattr_default_np(&attr)) {
        pthread_attr_getstacksize(&attr, &stack);
        pthread_attr_getguardsize(&attr, &guard);
        pthread_attr_destroy(&attr);
    }
    struct stack_need need = { 0 };
    dl_iterate_phdr(look_for_stack, &need);
    if (need.executable)
        stack_executable();
    fiber_init(stack, guard, (uint32_t)options.max_threads);
    /* Only the process's first thread can become worker 0; if another one activates us, it and the
     * first one stay kernel threads. */
    bool first = load_relaxed(&self->flags) & FIBER_MAIN;
    chaos_start();
    if (first)
        widen_descriptor_table();
    int err = options.debug_fail == FAIL_ACTIVATE ? -ENOMEM : choose_poller();
    if (!err && runtime_before_threads)
        runtime_before_threads();
    if (!err)
        err = sched_start(options.procs ? (uint32_t)options.procs : count_procs(),
                          (uint32_t)options.max_workers, first ? self : NULL,
                          options.procs ? NULL : count_procs);
    if (err) {
        stay_direct("not enough memory or threads to start the scheduler");
        return;
    }
    tcb_kernel_thread = kernel_thread;
    setid_start();
    carrier_init();
    tcb_wrap_setxid(main_fiber.tp, tcb_cancelhandling());
    sys_call(SYS_prctl, PR_GET_NAME, main_fiber.name);
    if (first) {
        atomic_fetch_or_explicit(&self->attention, fiber_attention, memory_order_relaxed);
        atomic_fetch_or_explicit(&self->flags, fiber_flags, memory_order_relaxed);
        atomic_fetch_and_explicit(&self->flags, ~FIBER_KERNEL, memory_order_relaxed);
    }
    runtime_mode = RUNTIME_ACTIVE;
    maker_start();
}

void runtime_after_fork(struct fiber *self)
{
    self->inherits = 0; /* they are the parent's thread's */
    cancel_kernel_after_fork();
    if (runtime_mode == RUNTIME_DIRECT) {
        self->tid = (uint32_t)sys_call(SYS_gettid);
        sync_after_fork(self);
        return;
    }
    self->tid = (uint32_t)sys_call(SYS_gettid);
    self->worker = NULL;
    self->joiner = NULL;
    store_relaxed(&self->flags, FIBER_KERNEL | FIBER_MAIN);
    store_relaxed(&self->in_syscall, 0);
    store_relaxed(&self->kernel_word, 0);
    store_relaxed(&self->inside, 0);
    store_relaxed(&self->carrier, NULL);
    store_relaxed(&self->attention, 0);
    store_relaxed(&self->notes, NULL);
    self->raised = NULL;
    store_relaxed(&self->pending, 0);
    sched_main_fiber = NULL;
    sched_after_fork();
    sync_after_fork(self);
    handoff_after_fork();
    setid_after_fork();
    carrier_after_fork();
    fiber_after_fork(self);
    tcb_after_fork();
    thread_count(1 - thread_count(0));
    runtime_mode = RUNTIME_DORMANT;
}
