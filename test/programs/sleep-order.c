/*
 * Threads that sleep for different times wake in the order of their deadlines, whatever order
 * they were started in; 1,000 sleepers sleep at the same time and not one after the other
 * (POSIX clock_nanosleep).
 */
#include "check.h"

enum { THREADS = 5, GAP = 100, CROWD = 1000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct timespec base;
static int order[THREADS], woken;

static void *body(void *argument)
{
    int me = *(int *)argument;
    struct timespec t = base;

    t.tv_nsec += (me + 1) * GAP * 1000000L;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    OK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL));
    pthread_mutex_lock(&mutex);
    order[woken++] = me;
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void *one_of_many(void *argument)
{
    /* All of them one after the other would take more than the watchdog allows. */
    nap(200);
    return argument;
}

static int ordered(void)
{
    static const int shuffled[THREADS] = { 3, 0, 4, 2, 1 };
    pthread_t threads[THREADS];
    int numbers[THREADS], good = 1;

    woken = 0;
    clock_gettime(CLOCK_MONOTONIC, &base);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = shuffled[i];
        threads[i] = start(body, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        good &= order[i] == i;
    }
    return good;
}

int main(void)
{
    static pthread_t crowd[CROWD];
    int attempt;

    watchdog();
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = start(one_of_many, NULL);
    }
    for (int i = 0; i < CROWD; i++) {
        finish(crowd[i]);
    }
    /* On a machine that stalls for longer than the gap any order may come out: try again. */
    for (attempt = 0; attempt < 5 && !ordered(); attempt++) {
    }
    CHECK(attempt < 5);
    return 0;
}
