/* Sleeps and waits never end with EINTR because other threads keep the CPUs busy: there is no signal
 * handler in this program. Each kind of wait is made by several threads, beside threads that compute.
 * An argument says how many times as long.
 *
 * Fails when calls that a signal of the library's ended (call_disturbed) are not made again. */
#include "check.h"

#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/syscall.h>

#define EACH  4
#define WAITS 120
#define KINDS 5

static atomic_int stop;
static int times = 1;
static volatile unsigned sink;

static void *burner(void *arg)
{
    (void)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        for (unsigned i = 0; i < 10000; i++)
            sink = i;
    return NULL;
}

/* Computes a little too, so that its own slice may end in or around a wait. */
static void compute(void)
{
    for (unsigned i = 0; i < 100000; i++)
        sink = i;
}

static void *sleeps(void *arg)
{
    (void)arg;
    struct timespec t = { 0, 500000 };
    for (int i = 0; i < WAITS * times; i++) {
        compute();
        SYS(nanosleep(&t, NULL));
        OK(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL));
    }
    return NULL;
}

static void *polls(void *arg)
{
    (void)arg;
    int fds[2];
    SYS(pipe(fds));
    for (int i = 0; i < WAITS * times; i++) {
        struct pollfd p[] = { { .fd = fds[0], .events = POLLIN },
                              { .fd = fds[0], .events = POLLIN } };
        fd_set set;
        FD_ZERO(&set);
        FD_SET(fds[0], &set);
        struct timeval t = { 0, 1000 };
        compute();
        CHECK_EQ(SYS(poll(p, 2, 1)), 0);
        CHECK_EQ(SYS(poll(NULL, 0, 1)), 0);
        CHECK_EQ(SYS(select(fds[0] + 1, &set, NULL, NULL, &t)), 0);
    }
    return NULL;
}

static void *epolls(void *arg)
{
    (void)arg;
    int ep = SYS(epoll_create1(0)), ev = SYS(eventfd(0, 0));
    struct epoll_event e = { .events = EPOLLIN };
    SYS(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e));
    for (int i = 0; i < WAITS * times; i++) {
        compute();
        CHECK_EQ(SYS(epoll_wait(ep, &e, 1, 1)), 0);
    }
    return NULL;
}

static void *semaphores(void *arg)
{
    (void)arg;
    sem_t s;
    SYS(sem_init(&s, 0, 0));
    for (int i = 0; i < WAITS * times; i++) {
        struct timespec t = from_now(CLOCK_REALTIME, 1);
        compute();
        FAILS(sem_timedwait(&s, &t), ETIMEDOUT);
    }
    return NULL;
}

/* Calls that block a kernel thread. */
static void *by_number(void *arg)
{
    (void)arg;
    for (int i = 0; i < WAITS * times; i++) {
        struct timespec t = { 0, 3000000 };
        compute();
        CHECK_EQ(SYS(syscall(SYS_ppoll, NULL, 0, &t, NULL, 8)), 0);
        t = (struct timespec){ 0, 3000000 };
        CHECK_EQ(SYS(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &t, NULL)), 0);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    watchdog();
    if (argc > 1) {
        times = atoi(argv[1]);
        alarm(60 * (unsigned)times);
    }
    static void *(*const kinds[])(void *) = { sleeps, polls, epolls, semaphores, by_number };
    pthread_t burners[4], waiters[KINDS * EACH];
    for (int i = 0; i < 4; i++)
        burners[i] = start(burner, NULL);
    for (int i = 0; i < KINDS * EACH; i++)
        waiters[i] = start(kinds[i % KINDS], NULL);
    for (int i = 0; i < KINDS * EACH; i++)
        finish(waiters[i]);
    atomic_store(&stop, 1);
    for (int i = 0; i < 4; i++)
        finish(burners[i]);
    puts("no wait was interrupted");
    return 0;
}
