/*
 * A thread that the C library makes by itself (SIGEV_THREAD) waits on a raw private futex, as the first
 * thing it does, and is woken by a thread of the program's; and the other way round (futex(2)).
 */
#include "check.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>

static unsigned word, back;
static int waiting;

static void wake(unsigned *addr)
{
    __atomic_store_n(addr, 1, __ATOMIC_SEQ_CST);
    SYS(syscall(SYS_futex, addr, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0));
}

static void wait_for(unsigned *addr)
{
    struct timespec t = { 20, 0 };

    while (!__atomic_load_n(addr, __ATOMIC_SEQ_CST)) {
        if (syscall(SYS_futex, addr, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &t, NULL, 0) < 0) {
            CHECK_EQ(errno, EAGAIN);
        }
    }
}

static void foreign(union sigval value)
{
    (void)value;
    __atomic_store_n(&waiting, 1, __ATOMIC_SEQ_CST);
    wait_for(&word);
    wake(&back);
}

static void *body(void *argument)
{
    while (!__atomic_load_n(&waiting, __ATOMIC_SEQ_CST)) {
        nap(1);
    }
    nap(20);
    wake(&word);
    wait_for(&back);
    return argument;
}

int main(void)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = foreign };
    struct itimerspec now = { { 0, 0 }, { 0, 1 } };
    timer_t timer;

    watchdog();
    pthread_t thread = start(body, NULL);
    SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
    SYS(timer_settime(timer, 0, &now, NULL));
    finish(thread);
    return 0;
}
