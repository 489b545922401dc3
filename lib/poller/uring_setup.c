/* Making rings, and finding out whether this kernel and this process may have them.
 *
 * A ring lives in memory of ours and has no descriptor. None is ever closed: see `probed`. The newer
 * set-up flags are missing in the liburing that distributions carry, so it is done by hand.
 *
 * Stacks: uring_open on scheduler stacks or during activation; uring_unavailable during activation;
 * uring_enter wherever the owner is inside the runtime. */
#include "poller/hold.h"
#include "poller/uring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include "arch/syscall.h"
#include "base/option.h"
#include "poller/uring_abi.h"

static void use_memory(struct ring *r, const struct io_uring_params *p, char *rings, void *sqes)
{
    struct io_uring_sq *sq = &r->u.sq;
    struct io_uring_cq *cq = &r->u.cq;
    sq->khead = (unsigned *)(rings + p->sq_off.head);
    sq->ktail = (unsigned *)(rings + p->sq_off.tail);
    sq->kflags = (unsigned *)(rings + p->sq_off.flags);
    sq->kdropped = (unsigned *)(rings + p->sq_off.dropped);
    sq->ring_mask = *(unsigned *)(rings + p->sq_off.ring_mask);
    sq->ring_entries = *(unsigned *)(rings + p->sq_off.ring_entries);
    sq->sqes = sqes;
    cq->khead = (unsigned *)(rings + p->cq_off.head);
    cq->ktail = (unsigned *)(rings + p->cq_off.tail);
    cq->cqes = (struct io_uring_cqe *)(rings + p->cq_off.cqes);
    cq->ring_mask = *(unsigned *)(rings + p->cq_off.ring_mask);
    cq->ring_entries = *(unsigned *)(rings + p->cq_off.ring_entries);
}

/* A ring without any descriptor: immune to close_range(), invisible in /proc/self/fd. */
static int set_up(struct ring *r, uint32_t sq_entries, uint32_t cq_entries)
{
    size_t sqes_size = ALIGN_UP(sq_entries * sizeof(struct io_uring_sqe), 4096);
    size_t rings_size = ALIGN_UP(512 + cq_entries * sizeof(struct io_uring_cqe) + sq_entries * 4,
                                 4096);
    char *memory = mmap(NULL, sqes_size + rings_size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_NO_MMAP | IORING_SETUP_REGISTERED_FD_ONLY |
                 IORING_SETUP_NO_SQARRAY,
        .cq_entries = cq_entries,
    };
    uint64_t sqes_at = (uintptr_t)memory, rings_at = (uintptr_t)memory + sqes_size;
    /* user_addr is the last word of both offset structures. */
    memcpy((char *)&p.sq_off + sizeof p.sq_off - 8, &sqes_at, 8);
    memcpy((char *)&p.cq_off + sizeof p.cq_off - 8, &rings_at, 8);
    long fd = sys_call(SYS_io_uring_setup, sq_entries, &p);
    if (fd < 0) {
        munmap(memory, sqes_size + rings_size);
        return (int)fd;
    }
    madvise(memory, sqes_size + rings_size, MADV_DONTFORK); /* a child's SQE would be ours */
    memset(&r->u, 0, sizeof r->u);
    r->u.ring_fd = r->u.enter_ring_fd = (int)fd;
    r->u.flags = p.flags;
    r->u.features = p.features;
    r->enter_flags = IORING_ENTER_REGISTERED_RING;
    use_memory(r, &p, memory + sqes_size, memory);
    r->u.sq.ring_ptr = memory;
    r->u.sq.ring_sz = sqes_size + rings_size;
    return 0;
}

long uring_enter(struct ring *r, unsigned submit, unsigned wait, unsigned flags, void *arg,
                 size_t size)
{
    if (unlikely(options.debug_fail == FAIL_SUBMIT) && submit) {
        static _Atomic uint32_t calls;
        uint32_t n = add_relaxed(&calls, 1) % 3;
        if (n)
            return n == 1 ? -EAGAIN : -EBUSY;
    }
    return sys_call(SYS_io_uring_enter, r->u.enter_ring_fd, submit, wait, flags | r->enter_flags,
                    arg, size);
}

static long ring_register(struct ring *r, unsigned op, void *arg, unsigned n)
{
    return sys_call(SYS_io_uring_register, r->u.ring_fd, op | IORING_REGISTER_USE_REGISTERED_RING,
                    arg, n);
}

/* io-wq: the kernel's helper threads for operations that cannot be done without blocking. */
static void limit_helpers(struct ring *r)
{
    uint32_t max[2] = { 8, 8 };
    ring_register(r, IORING_REGISTER_IOWQ_MAX_WORKERS, max, 2);
}

/* The ring that the probe made, kept for the first worker that opens one on the same kernel thread.
 * It is never closed: the kernel would later interrupt a blocking call of the thread that made it,
 * with an EINTR that no signal explains. */
static struct ring *probed;
static uint32_t probed_by;

static int make_ring(struct ring **ring)
{
    size_t size = ALIGN_UP(sizeof(struct ring), 4096);
    struct ring *r = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED)
        return -ENOMEM;
    static _Atomic uint32_t made;
    bool small = options.debug_fail == FAIL_OVERFLOW;
    int err = options.debug_fail == FAIL_RING && add_relaxed(&made, 1)
                  ? -EPERM
                  : set_up(r, small ? 4 : SQ_ENTRIES, small ? 8 : CQ_ENTRIES);
    if (err == -ENOMEM)
        err = set_up(r, 16, 64); /* little lockable memory */
    if (err) {
        munmap(r, size);
        return err;
    }
    limit_helpers(r);
    *ring = r;
    return 0;
}

int uring_open(struct worker *w)
{
    if (probed && probed_by == w->ktid) {
        w->ring = probed;
        probed = NULL;
        return 0;
    }
    return make_ring(&w->ring);
}

static uint64_t known_ops;

bool uring_knows(unsigned op)
{
    return op < 64 && known_ops >> op & 1;
}

bool uring_waits_for_children(void)
{
    return poller == &poller_uring && uring_knows(URING_OP_WAITID);
}

static const char *reason(int err)
{
    switch (err) {
    case -ENOSYS:
        return "the kernel has no io_uring";
    case -EPERM:
    case -EACCES:
        return "io_uring is not permitted here (seccomp or kernel.io_uring_disabled)";
    case -EINVAL:
        return "the kernel's io_uring is too old (6.7 is needed)";
    case -ENOMEM:
        return "not enough lockable memory for the rings of many workers (ulimit -l)";
    default:
        return "io_uring_setup failed";
    }
}

/* Rings are charged to the user unless he is root. Fewer of them than this, and a program whose
 * threads block inside libc would run out of workers: better no ring at all. */
#define RINGS_WANTED 64
#define RING_BYTES   8192 /* of the smallest */

static bool too_few_rings(void)
{
    struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
    getrlimit(RLIMIT_MEMLOCK, &limit);
    return sys_call(SYS_geteuid) && limit.rlim_cur < RINGS_WANTED * RING_BYTES;
}

const char *uring_unavailable(void)
{
    if (options.poller != POLLER_URING && too_few_rings())
        return reason(-ENOMEM);
    struct ring *r;
    int err = make_ring(&r);
    if (err)
        return reason(err);
    char memory[sizeof(struct io_uring_probe) + 64 * sizeof(struct io_uring_probe_op)] = { 0 };
    struct io_uring_probe *probe = (struct io_uring_probe *)memory;
    long res = ring_register(r, IORING_REGISTER_PROBE, probe, 64);
    if (res || probe->last_op < URING_OP_FUTEX_WAIT ||
        !(probe->ops[URING_OP_FUTEX_WAIT].flags & IO_URING_OP_SUPPORTED))
        return "the kernel's io_uring cannot wait on futexes (6.7 is needed)";
    for (unsigned op = 0; op <= probe->last_op && op < 64; op++)
        if (probe->ops[op].flags & IO_URING_OP_SUPPORTED)
            known_ops |= 1ull << op;
    probed = r;
    probed_by = (uint32_t)sys_call(SYS_gettid);
    return NULL;
}

void uring_after_fork(void)
{
    probed = NULL; /* its memory is not in the child */
    hold_after_fork();
}
