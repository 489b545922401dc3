/* A signal for the process goes to any thread that does not block it: here the main thread and those
 * that compute do, and one that waits (for a condition, a descriptor, time, a lock) does not. */
#include "check.h"
#include <signal.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, held = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static _Thread_local volatile int taker;
static volatile int handled, astray, stop, over, waiting;
static int pipes[2];

static void handler(int sig)
{
    (void)sig;
    if (taker) {
        handled++;
    } else {
        astray++;
    }
}

static void *computes(void *argument)
{
    while (!stop) {
    }
    return argument;
}

static void *waits(void *argument)
{
    sigset_t set;
    char c;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    taker = 1;
    OK(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    waiting = 1;
    switch ((long)argument) {
    case 0:
        OK(pthread_mutex_lock(&lock));
        while (!over) {
            OK(pthread_cond_wait(&cond, &lock));
        }
        OK(pthread_mutex_unlock(&lock));
        break;
    case 1:
        CHECK_EQ(read(pipes[0], &c, 1), 1);
        break;
    case 2:
        while (!over) {
            nap(1000);
        }
        break;
    default:
        OK(pthread_mutex_lock(&held));
        OK(pthread_mutex_unlock(&held));
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    sigset_t set;
    pthread_t busy[3];
    watchdog();
    SYS(pipe(pipes));
    SYS(sigaction(SIGUSR1, &action, NULL));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    for (int loops = 0; loops < 4; loops += 3) {
        stop = 0;
        for (int i = 0; i < loops; i++) {
            busy[i] = start(computes, NULL);
        }
        for (long way = 0; way < 4; way++) {
            over = handled = waiting = 0;
            OK(pthread_mutex_lock(&held));
            pthread_t thread = start(waits, (void *)way);
            while (!waiting) {
                nap(1);
            }
            nap(20);
            for (int i = 1; i < 4; i++) {
                SYS(kill(getpid(), SIGUSR1));
                while (handled < i) {
                    nap(1);
                }
            }
            OK(pthread_mutex_lock(&lock));
            over = 1;
            pthread_cond_signal(&cond);
            OK(pthread_mutex_unlock(&lock));
            if (way == 1) {
                CHECK_EQ(write(pipes[1], "x", 1), 1);
            }
            if (way == 2) {
                SYS(kill(getpid(), SIGUSR1)); /* not to sleep any longer */
            }
            OK(pthread_mutex_unlock(&held));
            finish(thread);
        }
        stop = 1;
        for (int i = 0; i < loops; i++) {
            finish(busy[i]);
        }
    }
    CHECK_EQ(astray, 0);
    return 0;
}
