/* Queued signals count against RLIMIT_SIGPENDING: then EAGAIN, for the process and for a thread; what
 * was queued comes, and a standard signal is sent all the same. */
#include "check.h"
#include <signal.h>

#define LIMIT 3000

static pthread_barrier_t meet;
static int queued;

static void *body(void *argument)
{
    sigset_t set;
    struct timespec now = { 0, 0 };
    siginfo_t info;
    int n = 0, usr = 0, sig;
    sigfillset(&set);
    pthread_barrier_wait(&meet);
    pthread_barrier_wait(&meet);
    while ((sig = sigtimedwait(&set, &info, &now)) > 0) {
        if (sig == SIGUSR1) {
            usr++;
        } else {
            CHECK_EQ(sig, SIGRTMIN);
            CHECK_EQ(info.si_value.sival_int, n);
            n++;
        }
    }
    CHECK_EQ(n, queued);
    CHECK_EQ(usr, 1);
    return argument;
}

int main(void)
{
    struct rlimit limit = { LIMIT, LIMIT };
    sigset_t set;
    watchdog();
    if (setrlimit(RLIMIT_SIGPENDING, &limit) < 0) {
        SKIP("RLIMIT_SIGPENDING cannot be that high");
    }
    sigfillset(&set);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    OK(pthread_barrier_init(&meet, NULL, 2));
    pthread_t thread = start(body, NULL);
    pthread_barrier_wait(&meet);
    int e;
    while (!(e = pthread_sigqueue(thread, SIGRTMIN, (union sigval){ .sival_int = queued }))) {
        CHECK(++queued <= LIMIT);
    }
    CHECK_EQ(e, EAGAIN);
    CHECK(queued > LIMIT / 2); /* others of this user may have some */
    OK(pthread_kill(thread, SIGUSR1));
    pthread_barrier_wait(&meet);
    finish(thread);
    int own = 0;
    while (sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = own }) == 0) {
        CHECK(++own <= LIMIT);
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK(own > LIMIT / 2);
    return 0;
}
