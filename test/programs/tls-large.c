/* A program with much thread-local data of its own starts threads, with default and with small stacks;
 * each has its own copy, initialised. */
#include "check.h"

enum { SIZE = 300 * 1024, THREADS = 16 };

static __thread char zeroes[SIZE];
static __thread int numbers[4] = { 1, 2, 3, 4 };

static void *body(void *argument)
{
    for (int i = 0; i < SIZE; i += 512)
        CHECK_EQ(zeroes[i], 0);
    CHECK_EQ(numbers[3], 4);
    memset(zeroes, 1 + (int)(long)argument, SIZE);
    numbers[3] = 0;
    nap(1);
    for (int i = 0; i < SIZE; i += 512)
        CHECK_EQ(zeroes[i], 1 + (int)(long)argument);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    pthread_attr_t attr;

    watchdog();
    OK(pthread_attr_init(&attr));
    OK(pthread_attr_setstacksize(&attr, 1 << 20));
    for (int i = 0; i < THREADS; i++)
        OK(pthread_create(&threads[i], i % 2 ? &attr : NULL, body, (void *)(long)i));
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    return 0;
}
