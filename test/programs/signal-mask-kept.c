/*
 * Handlers leave the mask as it was: threads that are sent two signals again and again, by several others,
 * while they wait, compute, and run handlers, have none of them blocked afterwards, and get the last
 * one of each. (A signal that came while the frame of another's handler was being left stayed blocked.)
 */
#include "check.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

enum { TARGETS = 6, SENDERS = 3, ROUNDS = 100000 };

static pthread_t targets[TARGETS];
static atomic_ulong sent[TARGETS][2], seen[TARGETS][2];
static atomic_int stop, ready;
static int fds[2];
static __thread long mine = -1;

static void handler(int number)
{
    int which = number == SIGUSR2;

    CHECK(mine >= 0);
    seen[mine][which] = sent[mine][which];
}

static void *target(void *argument)
{
    sigset_t mask;
    char byte;

    mine = (long)argument;
    ready++;
    while (!stop) {
        if (mine % 3 == 0) {
            SYS(write(fds[1], "", 1));
            while (read(fds[0], &byte, 1) < 0) {
                CHECK_EQ(errno, EINTR);
            }
        } else if (mine % 3 == 1) {
            usleep(50);
        } else {
            for (volatile int i = 0; i < 3000; i++) {
            }
            sched_yield();
        }
    }
    for (int i = 0; i < 2; i++) {
        for (int wait = 0; seen[mine][i] != sent[mine][i] && wait < 5000; wait++) {
            nap(1);
        }
        OK(pthread_sigmask(SIG_BLOCK, NULL, &mask));
        CHECK(!sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGUSR2));
        CHECK_EQ(seen[mine][i], sent[mine][i]);
    }
    return NULL;
}

static void *sender(void *argument)
{
    unsigned long r = (unsigned long)argument + 1;

    for (int i = 0; i < ROUNDS; i++) {
        r = r * 6364136223846793005 + 1442695040888963407;
        unsigned long to = r >> 33;
        int which = to & 1;

        to = to / 2 % TARGETS;
        sent[to][which]++;
        OK(pthread_kill(targets[to], which ? SIGUSR2 : SIGUSR1));
        if (i % 64 == 0) {
            usleep(20);
        }
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    pthread_t senders[SENDERS];

    watchdog();
    SYS(pipe(fds));
    SYS(sigaction(SIGUSR1, &action, NULL));
    SYS(sigaction(SIGUSR2, &action, NULL));
    for (long i = 0; i < TARGETS; i++) {
        targets[i] = start(target, (void *)i);
    }
    while (ready < TARGETS) {
        nap(1);
    }
    for (long i = 0; i < SENDERS; i++) {
        senders[i] = start(sender, (void *)i);
    }
    for (int i = 0; i < SENDERS; i++) {
        finish(senders[i]);
    }
    stop = 1;
    for (int i = 0; i < TARGETS; i++) {
        finish(targets[i]);
    }
    return 0;
}
