/*
 * futex_waitv(2): waits on up to 128 futexes, private and shared ones mixed, tells which was woken, and
 * refuses what it must; absolute deadlines on both clocks.
 */
#include "check.h"

#include <linux/futex.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

enum { MOST = 128, THREADS = 10 };

static unsigned *private_words, *shared_words;
static int ended;

static void fill(struct futex_waitv *v, int n)
{
    memset(v, 0, sizeof(*v) * (size_t)n);
    for (int i = 0; i < n; i++) {
        int private = i % 2 == 0;

        v[i].uaddr = (uintptr_t)(private ? &private_words[i] : &shared_words[i]);
        v[i].flags = FUTEX_32 | (private ? FUTEX_PRIVATE_FLAG : 0);
    }
}

static void *wait_for_one(void *argument)
{
    struct futex_waitv v[MOST];

    fill(v, MOST);
    long which = SYS(syscall(SYS_futex_waitv, v, MOST, 0, argument, CLOCK_MONOTONIC));
    __atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
    return (void *)which;
}

static long wake(int i, int n)
{
    return i % 2 == 0 ? syscall(SYS_futex, &private_words[i], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, n)
                      : syscall(SYS_futex, &shared_words[i], FUTEX_WAKE, n);
}

/* Some may not wait yet. */
static void wake_so_many(int i, int n)
{
    for (int woken = 0; woken < n; nap(1)) {
        woken += (int)SYS(wake(i, n - woken));
        CHECK(woken <= n);
    }
}

static void *all(void *argument)
{
    struct futex_waitv v[MOST + 1];
    struct timespec past = { 1, 0 }, bad = { 0, -1 }, t;

    fill(v, MOST);
    FAILS(syscall(SYS_futex_waitv, v, 0, 0, NULL, 0), EINVAL);
    FAILS(syscall(SYS_futex_waitv, v, MOST + 1, 0, NULL, 0), EINVAL);
    FAILS(syscall(SYS_futex_waitv, NULL, 1, 0, NULL, 0), EINVAL);
    FAILS(syscall(SYS_futex_waitv, v, MOST, 1, NULL, 0), EINVAL);
    FAILS(syscall(SYS_futex_waitv, v, MOST, 0, &past, CLOCK_BOOTTIME), EINVAL);
    FAILS(syscall(SYS_futex_waitv, v, MOST, 0, &bad, CLOCK_MONOTONIC), EINVAL);
    FAILS(syscall(SYS_futex_waitv, v, MOST, 0, &past, CLOCK_MONOTONIC), ETIMEDOUT);
    FAILS(syscall(SYS_futex_waitv, v, MOST, 0, &past, CLOCK_REALTIME), ETIMEDOUT);
    v[3].val = 1;
    FAILS(syscall(SYS_futex_waitv, v, MOST, 0, NULL, 0), EAGAIN);
    fill(v, MOST);
    v[5].flags |= 0x40;
    FAILS(syscall(SYS_futex_waitv, v, MOST, 0, NULL, 0), EINVAL);
    fill(v, MOST);
    v[6].uaddr++;
    FAILS(syscall(SYS_futex_waitv, v, MOST, 0, NULL, 0), EINVAL);
    fill(v, MOST);
    t = from_now(CLOCK_REALTIME, 20);
    FAILS(syscall(SYS_futex_waitv, v, MOST, 0, &t, CLOCK_REALTIME), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    t = from_now(CLOCK_MONOTONIC, 20);
    FAILS(syscall(SYS_futex_waitv, v, MOST, 0, &t, CLOCK_MONOTONIC), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    return argument;
}

int main(void)
{
    static const int at[] = { 0, 1, 64, 127, 126 };
    pthread_t threads[THREADS];

    watchdog();
    if (syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) < 0 && errno == ENOSYS) {
        SKIP("no futex_waitv in this kernel");
    }
    private_words = calloc(MOST, sizeof(unsigned));
    shared_words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    all(NULL);
    finish(start(all, NULL));
    for (int k = 0; k < 5; k++) {
        ended = 0;
        for (int i = 0; i < THREADS; i++) {
            threads[i] = start(wait_for_one, NULL);
        }
        wake_so_many(at[k], 3);
        while (__atomic_load_n(&ended, __ATOMIC_SEQ_CST) < 3) {
            nap(1);
        }
        nap(5);
        CHECK_EQ(__atomic_load_n(&ended, __ATOMIC_SEQ_CST), 3);
        wake_so_many(at[k], THREADS - 3);
        for (int i = 0; i < THREADS; i++) {
            CHECK_EQ((long)finish(threads[i]), at[k]);
        }
    }
    return 0;
}
