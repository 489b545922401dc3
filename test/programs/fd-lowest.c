/* The lowest free descriptor is what open, dup and pipe give, whatever the library does behind the
 * scenes: threads block and compute meanwhile, so that it has reason to look at them. */
#include "check.h"
#include <fcntl.h>

static volatile int stop;
static int ends[2];

static void *computes(void *arg)
{
    while (!stop)
        ;
    return arg;
}

static void *blocks(void *arg)
{
    char c;
    /* Behind the library's back as far as that goes. */
    while (!stop)
        if (getenv("HOME") && syscall(0 /* read */, ends[0], &c, 1) == 1 && c == 'x')
            break;
    return arg;
}

int main(void)
{
    pthread_t t[5];
    SYS(pipe(ends));
    for (int i = 0; i < 3; i++)
        OK(pthread_create(&t[i], NULL, computes, NULL));
    for (int i = 3; i < 5; i++)
        OK(pthread_create(&t[i], NULL, blocks, NULL));
    int lowest = SYS(dup(0));
    close(lowest);
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        for (int i = 0; i < 2000; i++) {
            int fd = SYS(dup(0));
            CHECK_EQ(fd, lowest);
            close(fd);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - begin.tv_sec < 2);
    stop = 1;
    CHECK_EQ(SYS(write(ends[1], "xx", 2)), 2);
    for (int i = 0; i < 5; i++)
        OK(pthread_join(t[i], NULL));
    return 0;
}
