/*
 * A thread can use the stack size it asked for, small or large (POSIX pthread_attr_setstacksize).
 */
#include "check.h"

#include <limits.h>
#include <stdint.h>

__attribute__((noinline)) static unsigned fill(size_t size)
{
    volatile unsigned char block[1024];

    for (int i = 0; i < 1024; i += 64) {
        block[i] = (unsigned char)size;
    }
    unsigned below = size > 1024 ? fill(size - 1024) : 0;
    return below + block[512];
}

static void *body(void *argument)
{
    return (void *)(uintptr_t)(fill((uintptr_t)argument) != 0x7fffffff);
}

int main(void)
{
    /* What libc keeps for itself at the top of the stack is not specified: leave it a share. */
    size_t sizes[] = { PTHREAD_STACK_MIN, 64 << 10, 256 << 10, 1 << 20, 16 << 20, 64 << 20 };
    pthread_attr_t attr;
    pthread_t thread;

    watchdog();
    OK(pthread_attr_init(&attr));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        OK(pthread_attr_setstacksize(&attr, sizes[i]));
        for (int round = 0; round < 5; round++) {
            OK(pthread_create(&thread, &attr, body, (void *)(sizes[i] / 2)));
            CHECK(finish(thread) == (void *)1);
        }
    }
    return 0;
}
