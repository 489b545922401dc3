/*
 * The clock of a condition variable is that of its attribute, or of the call; bad times and clocks are
 * EINVAL, and so is waiting without the mutex EPERM where it is checked; a signal that comes before the
 * wait is lost (POSIX pthread_cond_timedwait, pthread_condattr_setclock). Private and process-shared.
 */
#include "check.h"

static pthread_mutex_t mutex, checked;
static pthread_cond_t cond;

static int until_late(clockid_t clock, struct timespec t, int by_call)
{
    int error;

    do {
        error = by_call ? pthread_cond_clockwait(&cond, &mutex, clock, &t)
                        : pthread_cond_timedwait(&cond, &mutex, &t);
    } while (error == 0);
    return error;
}

static void *all(void *argument)
{
    clockid_t clock = *(clockid_t *)argument,
              other = clock == CLOCK_REALTIME ? CLOCK_MONOTONIC : CLOCK_REALTIME;
    struct timespec past = { 1, 0 }, bad = { 0, 1000000000 }, t;

    OK(pthread_cond_signal(&cond));
    OK(pthread_cond_broadcast(&cond));
    OK(pthread_mutex_lock(&mutex));
    t = from_now(clock, 20);
    CHECK_EQ(until_late(clock, t, 0), ETIMEDOUT);
    CHECK(reached(clock, t));
    t = from_now(other, 20);
    CHECK_EQ(until_late(other, t, 1), ETIMEDOUT);
    CHECK(reached(other, t));
    CHECK_EQ(pthread_cond_timedwait(&cond, &mutex, &past), ETIMEDOUT);
    CHECK_EQ(pthread_cond_timedwait(&cond, &mutex, &bad), EINVAL);
    CHECK_EQ(pthread_cond_clockwait(&cond, &mutex, other, &bad), EINVAL);
    CHECK_EQ(pthread_cond_clockwait(&cond, &mutex, CLOCK_BOOTTIME, &past), EINVAL);
    OK(pthread_mutex_unlock(&mutex));
    CHECK_EQ(pthread_cond_wait(&cond, &checked), EPERM);
    CHECK_EQ(pthread_cond_timedwait(&cond, &checked, &past), EPERM);
    return NULL;
}

int main(void)
{
    watchdog();
    for (int i = 0; i < 4; i++) {
        pthread_mutexattr_t mutex_attr;
        pthread_condattr_t attr;
        clockid_t clock = i / 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME, got;

        OK(pthread_mutexattr_init(&mutex_attr));
        OK(pthread_mutexattr_setpshared(&mutex_attr, i % 2));
        OK(pthread_mutex_init(&mutex, &mutex_attr));
        OK(pthread_mutexattr_settype(&mutex_attr, PTHREAD_MUTEX_ERRORCHECK));
        OK(pthread_mutex_init(&checked, &mutex_attr));
        OK(pthread_condattr_init(&attr));
        CHECK_EQ(pthread_condattr_setclock(&attr, CLOCK_PROCESS_CPUTIME_ID), EINVAL);
        OK(pthread_condattr_setclock(&attr, clock));
        OK(pthread_condattr_getclock(&attr, &got));
        CHECK_EQ(got, clock);
        OK(pthread_condattr_setpshared(&attr, i % 2));
        OK(pthread_cond_init(&cond, &attr));
        all(&clock);
        finish(start(all, &clock));
        OK(pthread_cond_destroy(&cond));
        OK(pthread_mutex_destroy(&mutex));
        OK(pthread_mutex_destroy(&checked));
    }
    return 0;
}
