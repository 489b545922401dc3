/* Deep interception: system calls that libc, ld.so and libgomp make inside themselves.
 *
 * A libgomp that is loaded later is changed while ld.so loads it: ld.so calls an empty function then, where
 * debuggers stop (r_debug in <link.h>), which becomes a jump to `loaded`. The library is mapped, but not
 * relocated, and nobody knows it yet, so nobody executes its text.
 *
 * At activation, while there is one thread, the instructions of such calls that may wait become jumps
 * to stubs (lib/arch/patch.h). On a fiber that is outside of the runtime the stub answers them as the
 * exported functions would; everywhere else, and after anything could not be done, it makes the system call.
 *
 * Futexes. A lock inside libc is taken and released in libc's text, so a fiber may wait for it on our
 * table if every waker looks there too: waits park only if no site of the futex call had to be left
 * alone, and a wake-up goes to the table first and to the kernel, where everybody else waits, for the
 * rest. Three kinds of words are always waited for in the kernel:
 *
 *   libc's static locks, arenas of    making a kernel thread takes some of these: the maker would wait for a
 *   malloc, ld.so's locks             holder who waits for the proc that the new thread is to run
 *   robust and PI mutexes             the kernel wakes their waiters when the owner dies
 *   shared futexes                    other processes wake them
 *
 * Of the static ones the locks of stdin, stdout and stderr park: they are held over input and output.
 *
 * A call of libc's is a cancellation point only while libc has made the cancellation type asynchronous
 * for it. errno is the caller's business: it is kept.
 *
 * deep_filter runs in the caller's place, with whatever thread pointer that has: a worker's scheduler
 * TCB, a foreign thread's, or a fiber's in a child that borrows our memory (posix_spawn). */
#include "shim/calls.h"

#include <limits.h>
#include <link.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include "arch/patch.h"
#include "arch/syscall.h"
#include "base/log.h"
#include "base/option.h"
#include "libc/tcb.h"
#include "shim/deep.h"
#include "sync/waitq.h"

#define LIBRARIES  8
#define ARENA_STEP (2ul << 20) /* arenas but the first begin at a multiple of this, or of more */
#define ARENA_HEAD 256ul
#define OWNED_WORD 0x80000000u /* FUTEX_WAITERS: a tid is in the word */

struct deep deep;

static struct patch_library libs[LIBRARIES];
static const char *lib_names[LIBRARIES];
static struct range {
    uintptr_t start, end;
} data[LIBRARIES * 2];       /* of libc and ld.so */
static uintptr_t streams[3]; /* locks of the standard ones */
static unsigned nlibs, ndata;
static uint32_t pid;
static size_t cancelhandling;   /* where it is in a TCB */
static bool futexes;            /* every site is ours */
static _Atomic uint32_t waited; /* some fiber has waited on our table */

/* ---- answers ---- */

/* errno as the caller of the exported function has it, turned back. */
static long result(long r)
{
    return r < 0 ? -errno : r;
}

static long body_read(struct deep_call *c)
{
    return result(read((int)c->arg[0], (void *)c->arg[1], (size_t)c->arg[2]));
}

static long body_write(struct deep_call *c)
{
    return result(write((int)c->arg[0], (void *)c->arg[1], (size_t)c->arg[2]));
}

static long raw(const struct deep_call *c)
{
    return arch_syscall6(c->nr, c->arg[0], c->arg[1], c->arg[2], c->arg[3], c->arg[4], c->arg[5]);
}

/* Counts that the exported function leaves to libc's own, which would lead here again. */
static bool odd_count(const struct deep_call *c)
{
    return (int)c->arg[2] <= 0 || (int)c->arg[2] > IOV_MAX;
}

static long body_readv(struct deep_call *c)
{
    if (odd_count(c))
        return raw(c);
    return result(readv((int)c->arg[0], (void *)c->arg[1], (int)c->arg[2]));
}

static long body_writev(struct deep_call *c)
{
    if (odd_count(c))
        return raw(c);
    return result(writev((int)c->arg[0], (void *)c->arg[1], (int)c->arg[2]));
}

static long body_close(struct deep_call *c)
{
    return result(close((int)c->arg[0]));
}

static long body_poll(struct deep_call *c)
{
    return result(poll((void *)c->arg[0], (nfds_t)c->arg[1], (int)c->arg[2]));
}

static long body_connect(struct deep_call *c)
{
    return result(
        connect((int)c->arg[0], (const struct sockaddr *)c->arg[1], (socklen_t)c->arg[2]));
}

static long body_sendto(struct deep_call *c)
{
    return result(sendto((int)c->arg[0], (void *)c->arg[1], (size_t)c->arg[2], (int)c->arg[3],
                         (const struct sockaddr *)c->arg[4], (socklen_t)c->arg[5]));
}

static long body_recvfrom(struct deep_call *c)
{
    return result(recvfrom((int)c->arg[0], (void *)c->arg[1], (size_t)c->arg[2], (int)c->arg[3],
                           (struct sockaddr *)c->arg[4], (socklen_t *)c->arg[5]));
}

static long body_sendmsg(struct deep_call *c)
{
    return result(sendmsg((int)c->arg[0], (void *)c->arg[1], (int)c->arg[2]));
}

static long body_recvmsg(struct deep_call *c)
{
    return result(recvmsg((int)c->arg[0], (void *)c->arg[1], (int)c->arg[2]));
}

static long body_wait4(struct deep_call *c)
{
    if ((int)c->arg[0] == INT32_MIN)
        return -ESRCH;
    return result(wait4((pid_t)c->arg[0], (int *)c->arg[1], (int)c->arg[2], (void *)c->arg[3]));
}

static long body_waitid(struct deep_call *c)
{
    if (c->arg[4]) /* libc has no name for that */
        return raw(c);
    return result(
        waitid((idtype_t)c->arg[0], (id_t)c->arg[1], (siginfo_t *)c->arg[2], (int)c->arg[3]));
}

static long body_sleep(struct deep_call *c)
{
    if (c->nr == SYS_nanosleep)
        return result(nanosleep((void *)c->arg[0], (void *)c->arg[1]));
    return -clock_nanosleep((clockid_t)c->arg[0], (int)c->arg[1], (void *)c->arg[2],
                            (void *)c->arg[3]);
}

/* The system call, which cancellation may end if this is a cancellation point. */
static long cancellable(struct fiber *self, const struct deep_call *c)
{
    const long args[7] = {
        c->nr, c->arg[0], c->arg[1], c->arg[2], c->arg[3], c->arg[4], c->arg[5]
    };
    return RESTART(self, true, fiber_call_array(self, args));
}

/* Usually short. */
static long body_handoff(struct deep_call *c)
{
    struct fiber *self = fiber_self;
    handoff_enter(self);
    long r = cancellable(self, c);
    handoff_leave(self);
    return r;
}

static long body_open(struct deep_call *c)
{
    long fd = body_handoff(c);
    if (fd >= 0 || fd == -ENOENT)
        fd = proc_open((int)c->arg[0], (const char *)c->arg[1], (int)c->arg[2], (mode_t)c->arg[3],
                       fd);
    return fd;
}

/* Usually long. */
static long body_block(struct deep_call *c)
{
    struct fiber *self = fiber_self;
    handoff_block_enter(self);
    long r = cancellable(self, c);
    handoff_block_leave(self);
    return r;
}

/* ---- futexes ---- */

static bool in_kernel(uintptr_t word, uint32_t expected)
{
    /* -1 is libgomp's "held, with waiters"; there is no such tid. */
    if ((expected & OWNED_WORD && expected != UINT32_MAX) || (word & (ARENA_STEP - 1)) < ARENA_HEAD)
        return true;
    for (unsigned i = 0; i < COUNT_OF(streams); i++)
        if (word == streams[i])
            return false;
    for (unsigned i = 0; i < ndata; i++)
        if (word >= data[i].start && word < data[i].end)
            return true;
    return false;
}

#define WAIT_BEFORE_YIELD (5 * NSEC_PER_MSEC)

/* Announced; signals end it as they please the kernel. The holder of a lock of libc's may itself wait for a
 * turn, and each waiter takes a kernel thread of those that could run it: libc makes new ones with such
 * locks, the maker may be among those who wait. So after a while the waiter lets others run in its place. One
 * that was woken goes on without a proc if need be: it stands for all who still wait. */
static long wait_in_kernel(struct deep_call *c)
{
    struct fiber *self = fiber_self;
    struct timespec ts = { 0, (long)WAIT_BEFORE_YIELD };
    bool lock = !c->arg[3] && ((int)c->arg[1] & FUTEX_CMD_MASK) == FUTEX_WAIT;
    for (;;) {
        handoff_enter(self);
        long r = lock ? sys_call(SYS_futex, c->arg[0], c->arg[1], c->arg[2], &ts) : raw(c);
        store_relaxed(&self->in_syscall, load_relaxed(&self->in_syscall) - 1);
        if (!lock || r != -ETIMEDOUT)
            return r;
        fiber_yield(self);
    }
}

static long body_futex_wait(struct deep_call *c)
{
    if (load_relaxed(&fiber_self->in_syscall)) /* fork, for one, collects libc's locks */
        return (uint32_t)sys_call(SYS_getpid) == pid ? wait_in_kernel(c) : raw(c);
    if (!futexes || !(c->arg[1] & FUTEX_PRIVATE_FLAG) ||
        in_kernel((uintptr_t)c->arg[0], (uint32_t)c->arg[2]))
        return wait_in_kernel(c);
    if (!load_relaxed(&waited))
        store_seq(&waited, 1); /* before the word is read; partner: the fence in deep_filter */
    return futex_private((uint32_t *)c->arg[0], (int)c->arg[1], (uint32_t)c->arg[2],
                         (const struct timespec *)c->arg[3], NULL, (uint32_t)c->arg[5]);
}

static int wake(const void *word, int n, uint32_t bits)
{
    /* A child that borrows our memory has another pid; parked fibers are not its business. */
    if (!load_relaxed(&waitq_bucket(word)->count) || (uint32_t)sys_call(SYS_getpid) != pid)
        return 0;
    return waitq_wake(word, n, bits);
}

static long body_futex_wake(struct deep_call *c)
{
    struct deep_call rest = *c;
    int op = (int)c->arg[1] & FUTEX_CMD_MASK, n = (int)c->arg[2];
    /* Locks that making a kernel thread takes: the maker may be who waits. Looking at our table first
     * might mean to queue up for a proc, for which there is a worker only when the maker has got on. */
    if (!(c->arg[1] & FUTEX_PRIVATE_FLAG) || in_kernel((uintptr_t)c->arg[0], 0))
        return raw(c);
    if (op == FUTEX_WAKE || op == FUTEX_WAKE_BITSET) {
        int woken = wake((void *)c->arg[0], n, op == FUTEX_WAKE ? WAITQ_ANY : (uint32_t)c->arg[5]);
        if (woken && woken >= n)
            return woken;
        rest.arg[2] = n - woken;
        long more = raw(&rest);
        return more < 0 ? more : more + woken;
    }
    /* Nobody in these libraries uses the others between fibers; waking too many is allowed. */
    wake((void *)c->arg[0], INT32_MAX, WAITQ_ANY);
    if (op == FUTEX_WAKE_OP)
        wake((void *)c->arg[4], INT32_MAX, WAITQ_ANY);
    return raw(c);
}

/* ---- which, and when ---- */

deep_body *const deep_bodies[PATCH_NUMBERS] = {
    [SYS_read] = body_read,         [SYS_write] = body_write,
    [SYS_readv] = body_readv,       [SYS_writev] = body_writev,
    [SYS_close] = body_close,       [SYS_poll] = body_poll,
    [SYS_connect] = body_connect,   [SYS_sendto] = body_sendto,
    [SYS_recvfrom] = body_recvfrom, [SYS_sendmsg] = body_sendmsg,
    [SYS_recvmsg] = body_recvmsg,   [SYS_nanosleep] = body_sleep,
    [SYS_open] = body_handoff,      [SYS_clock_nanosleep] = body_sleep,
    [SYS_openat] = body_open,       [SYS_sendmmsg] = body_handoff,
    [SYS_flock] = body_block,       [SYS_fcntl] = body_block,
    [SYS_wait4] = body_wait4,       [SYS_waitid] = body_waitid,
    [SYS_futex] = body_futex_wait,
};

/* The call as a cancellation point that it may not be, with errno kept. Whose slice is over goes on: libc
 * may hold locks here. */
static long run(struct deep_call *c)
{
    struct fiber *self = fiber_self;
    int before = errno;
    bool outer = cancel_inner_begin(self);
    uint16_t depth = load_relaxed(&self->nopreempt);
    store_relaxed(&self->nopreempt, depth | NOPREEMPT_LIBC);
    long r = deep_bodies[c->nr](c);
    store_relaxed(&self->nopreempt, depth);
    cancel_inner_end(self, outer);
    errno = before;
    return r;
}

__attribute__((target("general-regs-only"))) deep_body *deep_filter(struct deep_call *c,
                                                                    uintptr_t stack)
{
    unsigned long nr = (unsigned long)c->nr;
    if (nr >= PATCH_NUMBERS || !deep_bodies[nr] || !deep.on)
        return NULL;
    if (nr == SYS_futex) {
        int op = (int)c->arg[1] & FUTEX_CMD_MASK;
        if (op == FUTEX_LOCK_PI || op == FUTEX_LOCK_PI2 || op == FUTEX_UNLOCK_PI ||
            op == FUTEX_TRYLOCK_PI)
            return NULL;
        if (op != FUTEX_WAIT && op != FUTEX_WAIT_BITSET) {
            fence_seq(); /* partners: body_futex_wait, waitq_enter */
            return load_relaxed(&waited) ? body_futex_wake : NULL;
        }
    } else if (nr == SYS_fcntl && (int)c->arg[1] != F_SETLKW && (int)c->arg[1] != F_OFD_SETLKW) {
        return NULL;
    }
    struct fiber *self = fiber_self;
    if (!self || load_relaxed(&self->flags) & FIBER_DIRECT ||
        (nr != SYS_futex && load_relaxed(&self->in_syscall)) ||
        load_relaxed(&self->attention) & ATTENTION_HANDLER ||
        load_relaxed(&self->worker->in_runtime))
        return NULL;
    /* A wait of libc's that is a cancellation point, as in aio_suspend: the signal finds it. */
    if (nr == SYS_futex && *(volatile uint32_t *)(self->tp + cancelhandling) & CANCEL_ASYNC)
        return NULL;
    if (stack - (uintptr_t)self->stack.base >= (size_t)(self->stack.top - self->stack.base) &&
        (uint32_t)sys_call(SYS_getpid) != pid)
        return NULL; /* a child in our memory, on a stack of its own */
    return run;
}

/* ---- start ---- */

static bool named(const char *path, const char *name)
{
    const char *base = strrchr(path, '/');
    return !strncmp(base ? base + 1 : path, name, strlen(name));
}

static unsigned known; /* bits: those of libs that are loaded */

/* arg: not NULL for what comes later; libc and ld.so are there then. */
static int find_library(struct dl_phdr_info *info, size_t size, void *arg)
{
    static const char *const names[] = { "libc.so", "ld-linux", "libgomp.so" };
    unsigned which = 0, known_before = known;
    (void)size;
    while (which < COUNT_OF(names) && !named(info->dlpi_name, names[which]))
        which++;
    if (which == COUNT_OF(names) || (arg && which < 2))
        return 0;
    struct patch_library found = { 0 }, *lib = &found;
    uintptr_t low = UINTPTR_MAX, high = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + p->p_vaddr, end = start + p->p_memsz;
        if (p->p_type == PT_GNU_EH_FRAME)
            lib->unwind_header = (const uint8_t *)start;
        if (p->p_type != PT_LOAD)
            continue;
        low = start < low ? start : low;
        if (p->p_flags & PF_X) {
            if (lib->text)
                return 0; /* more than one: none that we know */
            lib->text = (uint8_t *)start;
            lib->text_end = (uint8_t *)start + p->p_filesz;
        }
        if (!(p->p_flags & PF_W))
            high = end > high ? end : high;
        else if (which < 2 && ndata < COUNT_OF(data))
            data[ndata++] = (struct range){ start, end };
    }
    lib->image = (const uint8_t *)low;
    lib->image_end = (const uint8_t *)high;
    for (unsigned i = 0; i < nlibs; i++)
        if (libs[i].text == lib->text)
            known |= 1u << i;
    if (known_before == known && lib->text && lib->unwind_header && nlibs < LIBRARIES) {
        known |= 1u << nlibs;
        libs[nlibs] = found;
        lib_names[nlibs++] = names[which];
    }
    return 0;
}

static void choose_numbers(struct patch_wanted *wanted)
{
    wanted->essential = SYS_futex;
    for (unsigned nr = 0; nr < PATCH_NUMBERS; nr++)
        if (deep_bodies[nr])
            wanted->bits[nr / 64] |= 1ull << nr % 64;
}

/* ld.so has loaded or unloaded something, and holds its lock. On any thread, on its stack; it comes in place
 * of an empty function. */
static void loaded(void)
{
    unsigned before = nlibs;
    int error = errno;
    if (_r_debug.r_state != RT_CONSISTENT || (uint32_t)sys_call(SYS_getpid) != pid)
        return;
    known = 0;
    dl_iterate_phdr(find_library, libs);
    for (unsigned i = 0; i < before; i++)
        if (!(known >> i & 1) && !strncmp(lib_names[i], "libgomp", 7))
            libs[i].text = NULL; /* another may come to the same place */
    for (unsigned i = before; i < nlibs; i++) {
        struct patch_wanted wanted = { 0 };
        choose_numbers(&wanted);
        /* A part of it would not do: who waits on our table, and who wakes, must be the same library. */
        if (!deep.on || patch_plan_late(&libs[i], &wanted) || patch_apply(&libs[i], 1))
            libs[i].patched = 0;
    }
    errno = error;
}

static const char *start(void)
{
    struct stat st;
    struct patch_wanted wanted = { 0 };
    if (sys_call(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &st, 0))
        return "no /proc to count the threads";
    if (st.st_nlink > 3)
        return "the process has other threads already";
    dl_iterate_phdr(find_library, NULL);
    if (nlibs < 2)
        return "libc was not recognised";
    choose_numbers(&wanted);
    FILE *const standard[] = { stdin, stdout, stderr };
    for (unsigned i = 0; i < COUNT_OF(standard); i++)
        streams[i] = standard[i] ? (uintptr_t)standard[i]->_lock : 0;
    const char *why = patch_plan(libs, nlibs, &wanted);
    for (unsigned i = 0; i < nlibs && !why; i++)
        if (patch_hook(&libs[i], (uint8_t *)_r_debug.r_brk, loaded))
            break;
    if (!why)
        why = patch_apply(libs, nlibs);
    futexes = !why;
    for (unsigned i = 0; i < nlibs; i++)
        futexes &= libs[i].complete;
    return why;
}

void deep_start(void)
{
    if (deep.tried) {
        pid = (uint32_t)sys_call(SYS_getpid); /* a fork's child: the text is as its parent's */
        deep.on = !deep.why;
        if (deep.on)
            loaded(); /* while it had one thread */
        return;
    }
    if (options.deep == DEEP_OFF) {
        deep.why = "not asked for";
        return;
    }
    deep.tried = true;
    cancelhandling = tcb_cancelhandling();
    pid = (uint32_t)sys_call(SYS_getpid);
    deep.why = options.debug_fail == FAIL_DEEP ? "text cannot be made writable (simulated)"
                                               : start();
    deep.on = !deep.why;
    if (deep.why && options.deep == DEEP_ON)
        log_unsupported("RADDLE_DEEP=on cannot be had: %s", deep.why);
}

void deep_stats(void)
{
    if (!deep.on) {
        log_line("deep interception off: %s", deep.why ? deep.why : "no threads yet");
        return;
    }
    for (unsigned i = 0; i < nlibs; i++)
        log_line("deep interception of %s: %u of %u calls%s", lib_names[i], libs[i].patched,
                 libs[i].found, libs[i].complete ? "" : ", its locks block kernel threads");
}
