/* One thread reads signals from a signalfd, all block them: signals for the process come there, those
 * for the thread itself too. */
#include "check.h"
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

static int fd;
static volatile int reading;

static void *reads(void *argument)
{
    struct signalfd_siginfo info;
    int n = 0, standard = 0;
    while (n < 20) {
        reading = 1;
        if (n % 2) {
            struct pollfd p = { fd, POLLIN, 0 };
            CHECK_EQ(poll(&p, 1, -1), 1);
        }
        read_all(fd, &info, sizeof info);
        if (info.ssi_signo == SIGUSR1) {
            CHECK_EQ(info.ssi_pid, getpid());
            standard++;
        } else {
            CHECK_EQ(info.ssi_signo, SIGRTMIN + 2);
            CHECK_EQ(info.ssi_int, n);
            n++;
        }
    }
    CHECK(standard >= 1);
    return argument;
}

int main(void)
{
    sigset_t set;
    watchdog();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 2);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    fd = SYS(signalfd(-1, &set, SFD_CLOEXEC));
    pthread_t thread = start(reads, NULL);
    while (!reading) {
        nap(1);
    }
    nap(10);
    SYS(kill(getpid(), SIGUSR1));
    for (int i = 0; i < 20; i++) {
        SYS(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){ .sival_int = i }));
        if (i % 4 == 0) {
            nap(2);
        }
    }
    finish(thread);
    return 0;
}
