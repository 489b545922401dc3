/* setuid(2) and its kin for the whole process.
 *
 * The kernel keeps user and group ids per kernel thread; POSIX wants them per process. libc repeats the
 * call on every thread of its list, but its list and ours differ: fibers are on it, which have no
 * kernel thread, and the first kernel thread is on it twice, for which setuid(0) by a program that has
 * the right to become root again means two different things. So the call is repeated here, on every
 * kernel thread of /proc/self/task, each once: the caller makes it, and if the kernel agrees, sends
 * SIGSETXID to the others and waits until each has made it or is gone. A thread that is made meanwhile
 * has its maker's ids and is found by another look at the directory.
 *
 * Called by any thread outside the runtime; the handler runs anywhere, makes system calls only and takes
 * no lock. Nobody keeps SIGSETXID blocked for long (worker_block_signals). One caller at a time; who
 * waits for its turn answers the signal. As in libc, a thread to which the kernel says something else
 * than to the caller ends the process. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include "arch/syscall.h"
#include "base/log.h"
#include "libc/tcb.h"
#include "thread/thread.h"

#define SIGSETXID 33
#define MOST      (1u << 20) /* kernel threads of a process; address space only */

enum { TARGET_ASKED, TARGET_DONE, TARGET_GONE, TARGET_REFUSED };
struct target {
    _Atomic uint32_t state;
    uint32_t tid;
};

static struct {
    _Atomic uint32_t held;
    _Atomic uint32_t count; /* of targets; 0: no call under way */
    struct target *targets; /* never unmapped: a late handler may look */
    long args[4];
} ids;

static void sleep_on(_Atomic uint32_t *word, uint32_t value)
{
    struct timespec soon = { 0, 10000000 };
    sys_call(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &soon);
}

/* In the handler: whether this kernel thread was asked. */
static bool ids_arrived(void)
{
    uint32_t tid = (uint32_t)sys_call(SYS_gettid);
    for (uint32_t i = load_acquire(&ids.count); i-- > 0;) { /* partner: ask */
        struct target *t = &ids.targets[i];
        if (t->tid != tid || load_relaxed(&t->state) != TARGET_ASKED)
            continue;
        long r = sys_call(ids.args[0], ids.args[1], ids.args[2], ids.args[3]);
        store_release(&t->state, r < 0 ? TARGET_REFUSED : TARGET_DONE); /* partner: wait_for */
        sys_call(SYS_futex, &t->state, FUTEX_WAKE_PRIVATE, 1);
        return true;
    }
    return false;
}

static bool known(uint32_t tid)
{
    for (uint32_t i = 0, n = load_relaxed(&ids.count); i < n; i++)
        if (ids.targets[i].tid == tid)
            return true;
    return false;
}

static void ask(long pid, uint32_t tid)
{
    uint32_t n = load_relaxed(&ids.count);
    if (n == MOST)
        panic("more kernel threads than can be counted");
    ids.targets[n].tid = tid;
    store_relaxed(&ids.targets[n].state, TARGET_ASKED);
    store_release(&ids.count, n + 1);
    sys_call(SYS_tgkill, pid, tid, SIGSETXID);
}

/* False: the kernel refused it there. */
static bool wait_for(long pid, struct target *t)
{
    while (load_acquire(&t->state) == TARGET_ASKED) {
        if (sys_call(SYS_tgkill, pid, t->tid, 0) == -ESRCH)
            store_relaxed(&t->state, TARGET_GONE);
        else
            sleep_on(&t->state, TARGET_ASKED);
    }
    return load_relaxed(&t->state) != TARGET_REFUSED;
}

static uint32_t number(const char *s)
{
    uint32_t n = 0;
    for (; *s >= '0' && *s <= '9'; s++)
        n = n * 10 + (uint32_t)(*s - '0');
    return *s ? 0 : n;
}

/* Asks all kernel threads but the caller that were not asked yet. How many. */
static uint32_t ask_others(int tasks, long pid, uint32_t self)
{
    struct entry { /* linux_dirent64 */
        uint64_t inode, offset;
        uint16_t size;
        uint8_t type;
        char name[];
    };
    char buffer[2048] __attribute__((aligned(8)));
    uint32_t before = load_relaxed(&ids.count);
    long n;
    sys_call(SYS_lseek, tasks, 0, SEEK_SET);
    while ((n = sys_call(SYS_getdents64, tasks, buffer, sizeof buffer)) > 0) {
        for (long i = 0; i < n;) {
            const struct entry *e = (const struct entry *)(buffer + i);
            uint32_t tid = number(e->name);
            if (tid && tid != self && !known(tid))
                ask(pid, tid);
            i += e->size;
        }
    }
    return load_relaxed(&ids.count) - before;
}

/* /proc may be absent, or that of another pid namespace. */
static int open_tasks(long pid)
{
    char name[16];
    long n = sys_call(SYS_readlinkat, AT_FDCWD, "/proc/self", name, sizeof name - 1);
    if (n <= 0)
        return -ENOSYS;
    name[n] = 0;
    if (number(name) != (uint32_t)pid)
        return -ENOSYS;
    return (int)sys_call(SYS_openat, AT_FDCWD, "/proc/self/task",
                         O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

long thread_set_ids(long nr, long a, long b, long c)
{
    /* No handler of the program's, no rescue and no migration between here and the end. */
    uint64_t most = ~(1ull << (SIGSETXID - 1)), mask;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &most, &mask, 8);
    while (xchg_acqrel(&ids.held, 1))
        sleep_on(&ids.held, 1);
    long pid = sys_call(SYS_getpid), r = -ENOSYS;
    int tasks = open_tasks(pid);
    bool agreed = true;
    if (!ids.targets) {
        void *m = mmap(NULL, MOST * sizeof(struct target), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ids.targets = m == MAP_FAILED ? NULL : m;
    }
    if (tasks >= 0 && ids.targets) {
        r = sys_call(nr, a, b, c);
        if (r == 0) {
            ids.args[0] = nr;
            ids.args[1] = a;
            ids.args[2] = b;
            ids.args[3] = c;
            uint32_t done = 0, self = (uint32_t)sys_call(SYS_gettid);
            while (ask_others(tasks, pid, self))
                for (; done < load_relaxed(&ids.count); done++)
                    agreed &= wait_for(pid, &ids.targets[done]);
            store_release(&ids.count, 0);
        }
    }
    if (tasks >= 0)
        sys_call(SYS_close, tasks);
    store_release(&ids.held, 0);
    sys_call(SYS_futex, &ids.held, FUTEX_WAKE_PRIVATE, 1);
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
    if (!agreed) {
        log_line("a kernel thread may not change its user or group ids as the others did");
        abort();
    }
    return r;
}

/* In a fork's child: the caller is another thread than the one whose call was under way. */
void setid_after_fork(void)
{
    store_relaxed(&ids.held, 0);
    store_relaxed(&ids.count, 0);
}

void setid_start(void)
{
    tcb_setxid_ours = ids_arrived;
}
