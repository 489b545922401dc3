/*
 * pthread_cleanup_push_defer_np makes the type deferred and pthread_cleanup_pop_restore_np sets what it
 * was; the state and the type in handlers and destructors are the thread's (pthread_cleanup_push_defer_np(3)).
 */
#include "check.h"

static int ran;

static void handler(void *argument)
{
    ran += *(int *)argument;
}

static void *body(void *argument)
{
    int type, one = 1;

    OK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
    pthread_cleanup_push_defer_np(handler, &one);
    OK(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type));
    CHECK_EQ(type, PTHREAD_CANCEL_DEFERRED);
    pthread_cleanup_pop_restore_np(1);
    OK(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type));
    CHECK_EQ(type, PTHREAD_CANCEL_ASYNCHRONOUS);

    pthread_cleanup_push_defer_np(handler, &one);
    OK(pthread_cancel(pthread_self()));
    ran += 10;
    pthread_testcancel();
    ran += 100;
    pthread_cleanup_pop_restore_np(0);
    return argument;
}

int main(void)
{
    watchdog();
    CHECK(finish(start(body, NULL)) == PTHREAD_CANCELED);
    CHECK_EQ(ran, 12);
    return 0;
}
