/*
 * A thread that is cancelled before its first instruction runs until its first cancellation point; one
 * that disables cancellation first runs to its end. None of many requests in a row does more than one
 * (pthread_cancel(3)).
 */
#include "check.h"

#include <stdatomic.h>

static atomic_int begun, returned;

static void *ordinary(void *argument)
{
    begun++;
    pthread_testcancel();
    return argument;
}

static void *protected(void *argument)
{
    OK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL));
    begun++;
    usleep(10);
    pthread_testcancel();
    returned++;
    return argument;
}

static void *without_points(void *argument)
{
    begun++;
    return argument;
}

int main(void)
{
    enum { ROUNDS = 500 };

    watchdog();
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t a = start(ordinary, NULL), b = start(protected, &begun),
                  c = start(without_points, &begun);

        OK(pthread_cancel(a));
        OK(pthread_cancel(a));
        OK(pthread_cancel(b));
        OK(pthread_cancel(c));
        void *value = finish(a);
        CHECK(value == PTHREAD_CANCELED || value == NULL);
        value = finish(b);
        CHECK(value == &begun || value == PTHREAD_CANCELED);
        value = finish(c);
        CHECK(value == &begun);
    }
    CHECK(begun >= 2 * ROUNDS);
    return 0;
}
