/*
 * pthread_cond_timedwait on CLOCK_REALTIME and CLOCK_MONOTONIC and pthread_cond_clockwait: never
 * early, the mutex held afterwards, past deadlines at once, woken before a far deadline
 * (POSIX pthread_cond_timedwait, pthread_condattr_setclock).
 */
#include "check.h"

static pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_cond_t cond;
static clockid_t clock_used;
static int by_argument, open_gate;

static int wait_until(const struct timespec *t)
{
    return by_argument ? pthread_cond_clockwait(&cond, &mutex, clock_used, t)
                       : pthread_cond_timedwait(&cond, &mutex, t);
}

static void *times_out(void *argument)
{
    struct timespec t = from_now(clock_used, *(int *)argument);
    int error;

    OK(pthread_mutex_lock(&mutex));
    do {
        error = wait_until(&t);
    } while (error == 0);
    CHECK_EQ(error, ETIMEDOUT);
    CHECK(reached(clock_used, t));
    CHECK_EQ(wait_until(&t), ETIMEDOUT);
    t.tv_nsec = 1000000000;
    CHECK_EQ(wait_until(&t), EINVAL);
    t.tv_nsec = -1;
    CHECK_EQ(wait_until(&t), EINVAL);
    OK(pthread_mutex_unlock(&mutex));
    return NULL;
}

static void *is_woken(void *argument)
{
    struct timespec t = from_now(clock_used, 50000);

    OK(pthread_mutex_lock(&mutex));
    while (!open_gate) {
        OK(wait_until(&t));
    }
    OK(pthread_mutex_unlock(&mutex));
    return argument;
}

static void run(void)
{
    pthread_t threads[30];
    int delays[30];

    open_gate = 0;
    for (int i = 0; i < 30; i++) {
        delays[i] = i * 2;
        threads[i] = start(i % 3 ? times_out : is_woken, &delays[i]);
    }
    for (int i = 0; i < 30; i++) {
        if (i % 3) {
            finish(threads[i]);
        }
    }
    OK(pthread_mutex_lock(&mutex));
    open_gate = 1;
    OK(pthread_cond_broadcast(&cond));
    OK(pthread_mutex_unlock(&mutex));
    for (int i = 0; i < 30; i += 3) {
        finish(threads[i]);
    }
    OK(pthread_cond_destroy(&cond));
}

int main(void)
{
    clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC };
    pthread_condattr_t attr;
    clockid_t got;

    watchdog();
    OK(pthread_condattr_init(&attr));
    OK(pthread_condattr_getclock(&attr, &got));
    CHECK_EQ(got, CLOCK_REALTIME);
    CHECK_EQ(pthread_condattr_setclock(&attr, CLOCK_PROCESS_CPUTIME_ID), EINVAL);
    for (int i = 0; i < 2; i++) {
        clock_used = clocks[i];
        OK(pthread_condattr_setclock(&attr, clock_used));
        by_argument = 0;
        OK(pthread_cond_init(&cond, &attr));
        run();
        /* The clock of the call counts, not the one of the object. */
        by_argument = 1;
        OK(pthread_condattr_setclock(&attr, clocks[!i]));
        OK(pthread_cond_init(&cond, &attr));
        run();
    }
    return 0;
}
