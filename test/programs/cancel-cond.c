/*
 * A thread that is cancelled in pthread_cond_wait holds the mutex in its handlers, and a signal that
 * comes with the cancellation wakes somebody else: none is consumed by a cancelled thread
 * (POSIX pthread_cond_wait).
 */
#include "check.h"

#include <stdatomic.h>

static pthread_mutex_t lock;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int tokens, taken, waiting, holding;

static void give_up(void *argument)
{
    CHECK_EQ(holding, 0);
    holding = 1;
    waiting--;
    holding = 0;
    OK(pthread_mutex_unlock(argument)); /* error-checking: fails if it is not ours */
}

static void *body(void *argument)
{
    OK(pthread_mutex_lock(&lock));
    waiting++;
    pthread_cleanup_push(give_up, &lock);
    while (tokens == 0) {
        OK(pthread_cond_wait(&cond, &lock));
    }
    tokens--;
    taken++;
    pthread_cleanup_pop(1);
    return argument;
}

int main(void)
{
    pthread_mutexattr_t checking;
    int expected = 0;

    watchdog();
    OK(pthread_mutexattr_init(&checking));
    OK(pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_ERRORCHECK));
    OK(pthread_mutex_init(&lock, &checking));
    for (int round = 0; round < 2000; round++) {
        pthread_t a = start(body, &lock), b = start(body, &lock);

        for (int there = 0; there < 2;) {
            OK(pthread_mutex_lock(&lock));
            there = waiting;
            OK(pthread_mutex_unlock(&lock));
            if (there < 2) {
                sched_yield();
            }
        }
        /* One token, one waiter cancelled in the same moment: the other one must get it. */
        if (round % 2) {
            OK(pthread_cancel(a));
        }
        OK(pthread_mutex_lock(&lock));
        tokens++;
        OK(pthread_cond_signal(&cond));
        OK(pthread_mutex_unlock(&lock));
        if (round % 2 == 0) {
            OK(pthread_cancel(a));
        }
        void *value = finish(a);
        if (value != PTHREAD_CANCELED) {
            /* It took the token first. */
            OK(pthread_mutex_lock(&lock));
            tokens++;
            OK(pthread_cond_signal(&cond));
            OK(pthread_mutex_unlock(&lock));
            expected++;
        }
        CHECK(finish(b) == &lock);
        expected++;
        CHECK_EQ(taken, expected);
        CHECK_EQ(tokens, 0);
        CHECK_EQ(waiting, 0);
    }
    return 0;
}
