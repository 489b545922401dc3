/* The monitor's files, opened by a kernel thread with a descriptor table of its own.
 *
 * The monitor looks into /proc and the cgroup file system all the time. A descriptor that comes and goes
 * in the program's table would be seen: POSIX promises the lowest free number, programs close 0 and open
 * the next file as 0, and at the limit the program's own open would fail. The reader leaves the
 * program's table with close_range(CLOSE_RANGE_UNSHARE), which copies nothing of it, so no file of the
 * program's stays open longer either. The monitor cannot do this for itself: with the epoll poller it needs
 * the program's table, and other threads have files looked at, too. Where the kernel refuses (before
 * Linux 5.9), the reader keeps the program's table.
 *
 * One request at a time. Mostly the monitor asks, sometimes a thread that nudges another; at activation
 * there is no reader yet and the caller reads for itself. */
#include "sched/internal.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include "arch/syscall.h"
#include "libc/tcb.h"

#define READER_STACK (32 * 1024)

enum { IDLE, ASKED, ANSWERED };

static struct {
    _Atomic uint32_t state;
    _Atomic uint32_t held; /* by who asks */
    bool there;
    bool writes;
    const char *path;
    char *buffer;
    size_t size;
    long result;
} reader;

static long do_file(const char *path, char *buffer, size_t size, bool writes)
{
    long fd = sys_call(SYS_openat, AT_FDCWD, path, (writes ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
    if (fd < 0)
        return fd;
    long n = writes ? sys_call(SYS_write, fd, buffer, size) : sys_call(SYS_read, fd, buffer, size);
    sys_call(SYS_close, fd);
    return n;
}

static void wait_for(uint32_t wanted)
{
    uint32_t now;
    while ((now = load_acquire(&reader.state)) != wanted) /* partner: tell */
        sys_call(SYS_futex, &reader.state, FUTEX_WAIT_PRIVATE, now, NULL);
}

static void tell(uint32_t state)
{
    store_release(&reader.state, state); /* partner: wait_for */
    sys_call(SYS_futex, &reader.state, FUTEX_WAKE_PRIVATE, 1);
}

static _Noreturn void *reader_main(void *arg)
{
    (void)arg;
    sys_call(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE);
    for (;;) {
        wait_for(ASKED);
        reader.result = do_file(reader.path, reader.buffer, reader.size, reader.writes);
        tell(ANSWERED);
    }
}

static long ask(const char *path, char *buffer, size_t size, bool writes)
{
    if (!reader.there)
        return do_file(path, buffer, size, writes);
    while (xchg_acqrel(&reader.held, 1))
        sys_call(SYS_futex, &reader.held, FUTEX_WAIT_PRIVATE, 1, NULL);
    reader.path = path;
    reader.buffer = buffer;
    reader.size = size;
    reader.writes = writes;
    tell(ASKED);
    wait_for(ANSWERED);
    long n = reader.result;
    store_relaxed(&reader.state, IDLE);
    store_release(&reader.held, 0);
    sys_call(SYS_futex, &reader.held, FUTEX_WAKE_PRIVATE, 1);
    return n;
}

long reader_slurp(const char *path, char *buffer, size_t size)
{
    long n = ask(path, buffer, size - 1, false);
    buffer[n > 0 ? n : 0] = 0;
    return n;
}

void reader_write(const char *path, char *text, size_t n)
{
    ask(path, text, n, true);
}

void reader_after_fork(void)
{
    reader.there = false;
    store_relaxed(&reader.held, 0);
}

void reader_start(void)
{
    memset(&reader, 0, sizeof reader);
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, before;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, READER_STACK + tcb_room());
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    reader.there = libc_real.pthread_create(&thread, &attr, reader_main, NULL) == 0;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
    pthread_attr_destroy(&attr);
}
