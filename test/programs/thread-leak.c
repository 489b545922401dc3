/*
 * Ended threads leave nothing behind: a million of them (or as many as ten seconds allow) that use
 * errno, malloc, thread-specific data and thread-local variables, and the process has not grown.
 */
#include "check.h"

static pthread_key_t low, high;
static __thread char local[512];

static void destructor(void *value)
{
    free(value);
}

static void *body(void *argument)
{
    errno = 1;
    local[100] = (char)(size_t)argument;
    OK(pthread_setspecific(low, malloc(10)));
    OK(pthread_setspecific(high, malloc(200)));
    free(malloc(3000));
    return (void *)(size_t)local[100];
}

static long resident(void)
{
    long size, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    CHECK(f != NULL);
    CHECK_EQ(fscanf(f, "%ld %ld", &size, &pages), 2);
    fclose(f);
    return pages;
}

static void run(int n)
{
    pthread_t threads[16];

    for (int i = 0; i < n; i += 16) {
        for (int j = 0; j < 16; j++) {
            threads[j] = start(body, (void *)1);
        }
        for (int j = 0; j < 16; j++) {
            if (j % 4 == 3) {
                OK(pthread_detach(threads[j]));
            } else {
                CHECK(finish(threads[j]) == (void *)1);
            }
        }
    }
}

int main(void)
{
    struct timespec end = from_now(CLOCK_MONOTONIC, 10000);
    pthread_key_t keys[100];

    watchdog();
    for (int i = 0; i < 100; i++) {
        OK(pthread_key_create(&keys[i], destructor));
    }
    low = keys[0];
    high = keys[99]; /* beyond what the thread's own structure holds */
    run(20000);
    long before = resident();
    for (int done = 0; done < 1000000 && !reached(CLOCK_MONOTONIC, end); done += 10000) {
        run(10000);
    }
    long grown = resident() - before;
    if (grown > 2048) { /* 8 MiB; one leaked word a thread would be as much */
        check_failed(__FILE__, __LINE__, "pages grown", grown, NULL);
    }
    return 0;
}
