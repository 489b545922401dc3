/*
 * What the functions of <threads.h> return: thrd_success, thrd_busy, thrd_timedout, thrd_error, and the
 * results of threads (C11 7.26).
 */
#include "check.h"

#include <threads.h>

static mtx_t plain, timed, recursive;
static cnd_t cond;
static tss_t key;
static once_flag once = ONCE_FLAG_INIT;
static int called, destroyed, ready;

static void call(void)
{
    called++;
}

static void destroy(void *value)
{
    destroyed += *(int *)value;
}

static struct timespec soon(void)
{
    return from_now(CLOCK_REALTIME, 20);
}

static int other(void *argument)
{
    struct timespec t = soon(), past = { 1, 0 }, bad = { 0, -1 };
    static int value = 3;

    CHECK_EQ(mtx_trylock(&plain), thrd_busy);
    CHECK_EQ(mtx_trylock(&recursive), thrd_busy);
    CHECK_EQ(mtx_timedlock(&timed, &t), thrd_timedout);
    CHECK(reached(CLOCK_REALTIME, t));
    CHECK_EQ(mtx_timedlock(&timed, &past), thrd_timedout);
    CHECK_EQ(mtx_timedlock(&timed, &bad), thrd_error);
    CHECK_EQ(mtx_unlock(&recursive), thrd_error);
    CHECK(thrd_equal(thrd_current(), thrd_current()));
    CHECK(tss_get(key) == NULL);
    CHECK_EQ(tss_set(key, &value), thrd_success);
    CHECK(tss_get(key) == &value);
    call_once(&once, call);
    if (argument) {
        thrd_exit(-7);
    }
    return 300;
}

static int wakes(void *argument)
{
    CHECK_EQ(mtx_lock(&plain), thrd_success);
    ready++;
    CHECK_EQ(argument ? cnd_signal(&cond) : cnd_broadcast(&cond), thrd_success);
    CHECK_EQ(mtx_unlock(&plain), thrd_success);
    return 0;
}

static int sleeper(void *argument)
{
    (void)argument;
    struct timespec t = { 0, 20000000 }, bad = { 0, -1 }, left;

    CHECK_EQ(thrd_sleep(&t, &left), 0);
    CHECK(thrd_sleep(&bad, NULL) < -1);
    thrd_yield();
    return 0;
}

int main(void)
{
    struct timespec t;
    thrd_t thread;
    int result;

    watchdog();
    CHECK_EQ(mtx_init(&plain, mtx_plain), thrd_success);
    CHECK_EQ(mtx_init(&timed, mtx_timed), thrd_success);
    CHECK_EQ(mtx_init(&recursive, mtx_timed | mtx_recursive), thrd_success);
    CHECK_EQ(cnd_init(&cond), thrd_success);
    CHECK_EQ(tss_create(&key, destroy), thrd_success);
    CHECK_EQ(mtx_trylock(&plain), thrd_success);
    CHECK_EQ(mtx_lock(&timed), thrd_success);
    CHECK_EQ(mtx_lock(&recursive), thrd_success);
    t = soon();
    CHECK_EQ(mtx_timedlock(&recursive, &t), thrd_success);
    CHECK_EQ(mtx_trylock(&recursive), thrd_success);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(thrd_create(&thread, other, i ? &thread : NULL), thrd_success);
        CHECK(!thrd_equal(thread, thrd_current()));
        CHECK_EQ(thrd_join(thread, &result), thrd_success);
        CHECK_EQ(result, i ? -7 : 300);
    }
    CHECK_EQ(called, 1);
    CHECK_EQ(destroyed, 6);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(mtx_unlock(&recursive), thrd_success);
    }
    CHECK_EQ(mtx_unlock(&recursive), thrd_error);

    t = soon();
    while ((result = cnd_timedwait(&cond, &plain, &t)) == thrd_success) {
    }
    CHECK_EQ(result, thrd_timedout);
    CHECK(reached(CLOCK_REALTIME, t));
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(thrd_create(&thread, wakes, i ? &thread : NULL), thrd_success);
        while (ready <= i) {
            CHECK_EQ(cnd_wait(&cond, &plain), thrd_success);
        }
        CHECK_EQ(thrd_join(thread, NULL), thrd_success);
    }
    CHECK_EQ(mtx_unlock(&plain), thrd_success);
    CHECK_EQ(thrd_create(&thread, sleeper, NULL), thrd_success);
    CHECK_EQ(thrd_join(thread, NULL), thrd_success);
    CHECK_EQ(thrd_create(&thread, sleeper, NULL), thrd_success);
    CHECK_EQ(thrd_detach(thread), thrd_success);
    tss_delete(key);
    cnd_destroy(&cond);
    mtx_unlock(&timed);
    mtx_destroy(&plain);
    mtx_destroy(&timed);
    mtx_destroy(&recursive);
    nap(50);
    return 0;
}
