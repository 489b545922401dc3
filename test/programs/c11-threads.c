/*
 * C11 threads: thrd_create, join values, detach, exit, sleep, yield, current, equal; call_once;
 * tss_* with destructors (C11 7.26).
 */
#include "check.h"

#include <threads.h>

enum { THREADS = 20 };

static once_flag flag = ONCE_FLAG_INIT;
static tss_t key;
static int once_runs, destroyed;
static mtx_t lock;

static void initialise(void)
{
    thrd_sleep(&(struct timespec){ 0, 5000000 }, NULL);
    once_runs++;
}

static void destructor(void *value)
{
    mtx_lock(&lock);
    destroyed += *(int *)value;
    mtx_unlock(&lock);
}

static int body(void *argument)
{
    int me = *(int *)argument;
    struct timespec short_time = { 0, 1000000 };

    call_once(&flag, initialise);
    CHECK_EQ(once_runs, 1);
    CHECK(tss_get(key) == NULL);
    CHECK_EQ(tss_set(key, argument), thrd_success);
    thrd_yield();
    CHECK_EQ(thrd_sleep(&short_time, NULL), 0);
    CHECK(tss_get(key) == argument);
    CHECK(thrd_equal(thrd_current(), thrd_current()));
    if (me % 2) {
        thrd_exit(-me);
    }
    return me;
}

static int detached(void *argument)
{
    mtx_lock(argument);
    mtx_unlock(argument);
    return 0;
}

int main(void)
{
    thrd_t threads[THREADS];
    int numbers[THREADS], result;

    watchdog();
    CHECK_EQ(mtx_init(&lock, mtx_plain), thrd_success);
    CHECK_EQ(tss_create(&key, destructor), thrd_success);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK_EQ(thrd_create(&threads[i], body, &numbers[i]), thrd_success);
        CHECK(!thrd_equal(threads[i], thrd_current()));
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(thrd_join(threads[i], &result), thrd_success);
        CHECK_EQ(result, i % 2 ? -i : i);
    }
    CHECK_EQ(destroyed, THREADS * (THREADS - 1) / 2);
    CHECK_EQ(thrd_create(&threads[0], detached, &lock), thrd_success);
    CHECK_EQ(thrd_detach(threads[0]), thrd_success);
    tss_delete(key);
    return 0;
}
