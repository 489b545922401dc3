/*
 * A handler ends a futex wait with EINTR: without SA_RESTART always, with it only if there is a deadline
 * (signal(7), futex(2)). Private and shared, in the only thread and in one of several.
 */
#include "check.h"

#include "signals.h"
#include "sleepers.h"

#include <sys/time.h>

static unsigned word;
static int private, done;

static long wait_for_it(struct timespec *t)
{
    return syscall(SYS_futex, &word, FUTEX_WAIT | private, 0, t, NULL, 0);
}

static void *waits(void *argument)
{
    if (argument) {
        FAILS(wait_for_it(argument), EINTR);
    } else {
        CHECK_EQ(wait_for_it(NULL), 0);
    }
    __atomic_store_n(&done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void signal_it(struct timespec *t, int ends)
{
    done = 0;
    handled = 0;
    pthread_t thread = start(waits, t);
    await_sleepers(&word, private, 1);
    OK(pthread_kill(thread, SIGUSR1));
    if (ends) {
        finish(thread);
    } else {
        while (!handled) {
            nap(1);
        }
        nap(30);
        CHECK_EQ(__atomic_load_n(&done, __ATOMIC_SEQ_CST), 0);
        await_sleepers(&word, private, 1); /* again */
        CHECK_EQ(syscall(SYS_futex, &word, FUTEX_WAKE | private, 1, NULL, NULL, 0), 1);
        finish(thread);
    }
    CHECK_EQ(handled, 1);
}

static void *waits_interrupted(void *argument)
{
    FAILS(wait_for_it(NULL), EINTR);
    return argument;
}

int main(void)
{
    struct timespec t = { 50, 0 };

    for (int i = 0; i < 2; i++) {
        private = i ? FUTEX_PRIVATE_FLAG : 0;
        /* Before there is another thread, only in the first round. */
        install_counter(SIGUSR1, 0);
        install_counter(SIGALRM, 0);
        /* Again and again: the first may come before the wait. */
        struct itimerval soon = { { 0, 20000 }, { 0, 20000 } };
        SYS(setitimer(ITIMER_REAL, &soon, NULL));
        FAILS(wait_for_it(NULL), EINTR);
        SYS(setitimer(ITIMER_REAL, &soon, NULL));
        FAILS(wait_for_it(&t), EINTR);
        install_counter(SIGUSR1, SA_RESTART);
        install_counter(SIGALRM, SA_RESTART);
        SYS(setitimer(ITIMER_REAL, &soon, NULL));
        FAILS(wait_for_it(&t), EINTR);
        soon = (struct itimerval){ 0 };
        SYS(setitimer(ITIMER_REAL, &soon, NULL));
        nap(5); /* for one that is on its way */
        signal(SIGALRM, SIG_DFL);
        watchdog();

        signal_it(&t, 1);
        signal_it(NULL, 0);
        install_counter(SIGUSR1, 0);
        signal_it(&t, 1);
        handled = 0;
        pthread_t thread = start(waits_interrupted, NULL);
        await_sleepers(&word, private, 1);
        OK(pthread_kill(thread, SIGUSR1));
        finish(thread);
        alarm(0);
    }
    return 0;
}
