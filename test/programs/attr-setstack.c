/*
 * Threads on stacks that the program supplies: the locals lie in the given memory, nothing
 * outside it is written, and the memory is the program's again after the join
 * (POSIX pthread_attr_setstack).
 */
#include "check.h"

#include <stdint.h>
#include <sys/mman.h>

enum { THREADS = 16, SIZE = 256 * 1024, FENCE = 4096 };

static char *area[THREADS];

__attribute__((noinline)) static void *body(void *argument)
{
    volatile char local[100 * 1024];
    char *low = area[(intptr_t)argument] + FENCE;
    uintptr_t here = (uintptr_t)local;
    pthread_attr_t attr;
    void *stack;
    size_t size;

    CHECK(here >= (uintptr_t)low && here + sizeof(local) <= (uintptr_t)low + SIZE);
    for (size_t i = 0; i < sizeof(local); i += 512) {
        local[i] = (char)(intptr_t)argument;
    }
    nap(2);
    for (size_t i = 0; i < sizeof(local); i += 512) {
        CHECK_EQ(local[i], (char)(intptr_t)argument);
    }
    OK(pthread_getattr_np(pthread_self(), &attr));
    OK(pthread_attr_getstack(&attr, &stack, &size));
    CHECK(stack == low);
    CHECK_EQ(size, SIZE);
    OK(pthread_attr_destroy(&attr));
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];
    pthread_attr_t attr;

    watchdog();
    OK(pthread_attr_init(&attr));
    for (int i = 0; i < THREADS; i++) {
        area[i] = mmap(NULL, SIZE + 2 * FENCE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
        CHECK(area[i] != MAP_FAILED);
        memset(area[i], 0x5a, SIZE + 2 * FENCE);
    }
    CHECK_EQ(pthread_attr_setstack(&attr, area[0], 100), EINVAL);
    for (int round = 0; round < 10; round++) {
        for (intptr_t i = 0; i < THREADS; i++) {
            OK(pthread_attr_setstack(&attr, area[i] + FENCE, SIZE));
            OK(pthread_create(&threads[i], &attr, body, (void *)i));
        }
        for (intptr_t i = 0; i < THREADS; i++) {
            CHECK(finish(threads[i]) == (void *)i);
            for (int k = 0; k < FENCE; k++) {
                CHECK_EQ(area[i][k], 0x5a);
                CHECK_EQ(area[i][FENCE + SIZE + k], 0x5a);
            }
            /* Ours again, whatever is written to it. */
            memset(area[i] + FENCE, 0xa5, SIZE);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        SYS(munmap(area[i], SIZE + 2 * FENCE));
    }
    return 0;
}
