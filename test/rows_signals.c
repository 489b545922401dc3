/* Functions of signals; see rows_seen.c. raddle keeps each signal's action and each thread's mask: what
 * libc does behind its back is not what its other functions answer, and libc's functions send to a
 * tid that the kernel does not know. */
#include "programs/check.h"

#include <poll.h>
#include <signal.h>

#include "rows.h"

static atomic_int handled;
static pthread_t handled_in;

static void handler(int sig)
{
    (void)sig;
    handled_in = pthread_self();
    handled++;
}

static void *poll_for_ever(void *argument)
{
    int ends[2];
    struct pollfd fd = { .events = POLLIN };

    SYS(pipe(ends));
    fd.fd = ends[0];
    stage = 1;
    CHECK(poll(&fd, 1, -1) < 0 && errno == EINTR);
    return argument;
}

static void expect_action(int flags)
{
    struct sigaction now;

    SYS(sigaction(SIGUSR1, NULL, &now));
    CHECK(now.sa_handler == handler);
    CHECK_EQ(now.sa_flags & SA_RESTART, flags);
    /* A wait that is never restarted ends. */
    pthread_t thread = waiter(poll_for_ever, NULL);
    OK(pthread_kill(thread, SIGUSR1));
    OK(pthread_join(thread, NULL));
    CHECK_EQ(handled, 1);
    CHECK(pthread_equal(handled_in, thread));
}

void set_action(anything *function)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };

    SYS(CALL(int (*)(int, const struct sigaction *, void *), SIGUSR1, &action, NULL));
    expect_action(SA_RESTART);
}

void set_handler(anything *function)
{
    CHECK(CALL(sighandler_t(*)(int, sighandler_t), SIGUSR1, handler) != SIG_ERR);
    expect_action(SA_RESTART);
}

void set_handler_once(anything *function)
{
    CHECK(CALL(sighandler_t(*)(int, sighandler_t), SIGUSR1, handler) != SIG_ERR);
    expect_action(0);
}

void set_interrupting(anything *function)
{
    signal(SIGUSR1, handler);
    SYS(CALL(int (*)(int, int), SIGUSR1, 1));
    expect_action(0);
    handled = 0;
    SYS(CALL(int (*)(int, int), SIGUSR1, 0));
    expect_action(SA_RESTART);
}

void set_mask(anything *function)
{
    sigset_t set, now;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    SYS(CALL(int (*)(int, const sigset_t *, sigset_t *), SIG_BLOCK, &set, NULL));
    OK(pthread_sigmask(SIG_BLOCK, NULL, &now));
    CHECK_EQ(sigismember(&now, SIGUSR1), 1);
}

static sigset_t *block_one(void)
{
    static sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    return &set;
}

/* While it is blocked it is the thread's own: others that do not block it must not get it. */
static void *raise_here(void *function)
{
    block_one();
    SYS(CALL(int (*)(int), SIGUSR1));
    CHECK_EQ(handled, 0);
    stage = 1;
    wait_stage(2);
    CHECK_EQ(handled, 0);
    OK(pthread_sigmask(SIG_UNBLOCK, block_one(), NULL));
    CHECK_EQ(handled, 1);
    return NULL;
}

void raise_in_a_thread(anything *function)
{
    pthread_t thread;

    signal(SIGUSR1, handler);
    thread = waiter(raise_here, (void *)(uintptr_t)function);
    for (int i = 0; i < 100; i++) {
        sched_yield();
    }
    stage = 2;
    OK(pthread_join(thread, NULL));
}

static void *tgkill_here(void *function)
{
    SYS(CALL(int (*)(pid_t, pid_t, int), getpid(), gettid(), SIGUSR1));
    CHECK_EQ(handled, 1);
    return NULL;
}

void tgkill_in_a_thread(anything *function)
{
    pthread_t thread;

    signal(SIGUSR1, handler);
    OK(pthread_create(&thread, NULL, tgkill_here, (void *)(uintptr_t)function));
    OK(pthread_join(thread, NULL));
}

void kill_from_main(anything *function)
{
    signal(SIGUSR1, handler);
    waiter(stay, NULL);
    for (int i = 1; i <= 300; i++) {
        usleep(i % 10 == 0 ? 200 : 0);
        SYS(CALL(int (*)(pid_t, int), getpid(), SIGUSR1));
        CHECK_EQ(handled, i);
    }
}

static void *wait_for_value(void *argument)
{
    siginfo_t info;

    stage = 1;
    CHECK_EQ(sigwaitinfo(argument, &info), SIGUSR1);
    CHECK_EQ(info.si_value.sival_int, 77);
    return NULL;
}

void queue_a_value(anything *function)
{
    union sigval value = { .sival_int = 77 };
    pthread_t thread = waiter(wait_for_value, block_one());

    OK(CALL(int (*)(pthread_t, int, union sigval), thread, SIGUSR1, value));
    OK(pthread_join(thread, NULL));
}

/* A signal that came while the thread had it blocked is the thread's own: nobody else knows of it. */
static void *wait_for_pending(void *function)
{
    sigset_t none;
    int sig;

    OK(pthread_kill(pthread_self(), SIGUSR1));
    sigemptyset(&none);
    /* sigwait and sigwaitinfo take the set; sigsuspend the mask, pause nothing. */
    if (function == (void *)(uintptr_t)sigwait || function == (void *)(uintptr_t)sigwaitinfo) {
        siginfo_t info;
        void *out = function == (void *)(uintptr_t)sigwait ? (void *)&sig : (void *)&info;

        sig = CALL(int (*)(sigset_t *, void *), block_one(), out);
        CHECK(sig == 0 || sig == SIGUSR1);
        CHECK_EQ(handled, 0);
    } else {
        CHECK(CALL(int (*)(sigset_t *), &none) < 0);
        CHECK_EQ(handled, 1);
    }
    return NULL;
}

void take_pending(anything *function)
{
    pthread_t thread;

    signal(SIGUSR1, handler);
    block_one();
    OK(pthread_create(&thread, NULL, wait_for_pending, (void *)(uintptr_t)function));
    OK(pthread_join(thread, NULL));
}

static void *pausing(void *function)
{
    stage = 1;
    CALL(int (*)(void));
    check_failed(__FILE__, __LINE__, "pause", 0, "came back");
}

void cancel_pause(anything *function)
{
    void *result;
    pthread_t thread = waiter(pausing, (void *)(uintptr_t)function);

    OK(pthread_cancel(thread));
    OK(pthread_join(thread, &result));
    CHECK(result == PTHREAD_CANCELED);
}
