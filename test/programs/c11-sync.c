/*
 * C11 mutexes and conditions: plain, timed and recursive, trylock, timedlock, signal, broadcast,
 * timedwait (C11 7.26.3, 7.26.4).
 */
#include "check.h"

#include <threads.h>

enum { THREADS = 10, ROUNDS = 300 };

static mtx_t plain, timed, recursive;
static cnd_t turn_changed;
static int turn;

static int body(void *argument)
{
    int me = *(int *)argument;

    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(mtx_lock(&plain), thrd_success);
        while (turn != i * THREADS + me) {
            CHECK_EQ(cnd_wait(&turn_changed, &plain), thrd_success);
        }
        turn++;
        CHECK_EQ(cnd_broadcast(&turn_changed), thrd_success);
        CHECK_EQ(mtx_unlock(&plain), thrd_success);
    }
    return 0;
}

static int refused(void *argument)
{
    struct timespec t = from_now(CLOCK_REALTIME, 15);

    (void)argument;
    CHECK_EQ(mtx_trylock(&plain), thrd_busy);
    CHECK_EQ(mtx_trylock(&recursive), thrd_busy);
    CHECK_EQ(mtx_timedlock(&timed, &t), thrd_timedout);
    CHECK(reached(CLOCK_REALTIME, t));
    return 0;
}

int main(void)
{
    thrd_t threads[THREADS];
    int numbers[THREADS];
    struct timespec t;

    watchdog();
    CHECK_EQ(mtx_init(&plain, mtx_plain), thrd_success);
    CHECK_EQ(mtx_init(&timed, mtx_timed), thrd_success);
    CHECK_EQ(mtx_init(&recursive, mtx_plain | mtx_recursive), thrd_success);
    CHECK_EQ(cnd_init(&turn_changed), thrd_success);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK_EQ(thrd_create(&threads[i], body, &numbers[i]), thrd_success);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(thrd_join(threads[i], NULL), thrd_success);
    }
    CHECK_EQ(turn, THREADS * ROUNDS);

    mtx_lock(&plain);
    mtx_lock(&timed);
    mtx_lock(&recursive);
    CHECK_EQ(mtx_lock(&recursive), thrd_success);
    CHECK_EQ(thrd_create(&threads[0], refused, NULL), thrd_success);
    CHECK_EQ(thrd_join(threads[0], NULL), thrd_success);
    t = from_now(CLOCK_REALTIME, 15);
    int result;
    do {
        result = cnd_timedwait(&turn_changed, &plain, &t);
    } while (result == thrd_success);
    CHECK_EQ(result, thrd_timedout);
    CHECK(reached(CLOCK_REALTIME, t));
    mtx_unlock(&plain);
    cnd_signal(&turn_changed);
    mtx_unlock(&recursive);
    mtx_unlock(&recursive);
    mtx_unlock(&timed);
    cnd_destroy(&turn_changed);
    mtx_destroy(&plain);
    return 0;
}
