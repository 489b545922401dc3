/*
 * Threads of C11: thrd_exit runs cleanup handlers and tss destructors and gives its int to thrd_join;
 * results keep all bits of an int; a detached one is gone by itself (C11 7.26.5).
 */
#include "check.h"

#include <limits.h>
#include <stdatomic.h>
#include <threads.h>

static tss_t key;
static atomic_int handled, destroyed;

static void handler(void *argument)
{
    handled += *(int *)argument;
}

static void destructor(void *value)
{
    destroyed += *(int *)value;
}

static int body(void *argument)
{
    static int one = 1;
    int result = *(int *)argument;

    CHECK_EQ(tss_set(key, &one), thrd_success);
    pthread_cleanup_push(handler, &one);
    if (result % 2) {
        thrd_exit(result);
    }
    pthread_cleanup_pop(1);
    return result;
}

int main(void)
{
    int results[] = { 0, 1, -1, INT_MAX, INT_MIN, 12345, -12346 };
    int n = (int)(sizeof results / sizeof *results), result;

    watchdog();
    CHECK_EQ(tss_create(&key, destructor), thrd_success);
    for (int i = 0; i < n; i++) {
        thrd_t thread;

        CHECK_EQ(thrd_create(&thread, body, &results[i]), thrd_success);
        CHECK_EQ(thrd_join(thread, &result), thrd_success);
        CHECK_EQ(result, results[i]);
        CHECK_EQ(handled, i + 1);
        CHECK_EQ(destroyed, i + 1);
        CHECK_EQ(thrd_create(&thread, body, &results[i]), thrd_success);
        CHECK_EQ(thrd_detach(thread), thrd_success);
        while (destroyed < i + 2) {
            thrd_yield();
        }
        handled--;
        destroyed--;
    }
    return 0;
}
