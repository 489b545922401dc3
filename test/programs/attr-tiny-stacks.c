/*
 * Threads run on stacks of PTHREAD_STACK_MIN, the library's and the program's own, and do there what
 * fits natively: format a number, lock, wait, be cancelled (POSIX pthread_attr_setstack).
 */
#include "check.h"

#include <limits.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/mman.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sem_t never;
static int cleaned;

static void clean(void *argument)
{
    cleaned += *(int *)argument;
}

static void *body(void *argument)
{
    char text[32];
    int one = 1;

    snprintf(text, sizeof text, "%d", 12345);
    CHECK_EQ(strcmp(text, "12345"), 0);
    OK(pthread_mutex_lock(&lock));
    OK(pthread_mutex_unlock(&lock));
    nap(1);
    if (argument) {
        return argument;
    }
    pthread_cleanup_push(clean, &one);
    sem_wait(&never);
    pthread_cleanup_pop(0);
    return argument;
}

int main(void)
{
    size_t min = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    pthread_attr_t attr;
    int cancelled = 0;

    CHECK((long)min >= (long)PTHREAD_STACK_MIN);
    watchdog();
    SYS(sem_init(&never, 0, 0));
    OK(pthread_attr_init(&attr));
    OK(pthread_attr_setstacksize(&attr, min));
    char *stack = mmap(NULL, min + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);
    CHECK(stack != MAP_FAILED);
    for (int own = 0; own < 2; own++) {
        if (own) {
            /* Untouched below and above, and aligned to 16 only. */
            memset(stack, 0x5a, 4096);
            memset(stack + 4096 + min, 0x5a, 4096);
            OK(pthread_attr_setstack(&attr, stack + 4096, min));
        }
        for (int i = 0; i < 20; i++) {
            pthread_t thread;
            void *argument = i % 2 ? &lock : NULL;

            OK(pthread_create(&thread, &attr, body, argument));
            if (!argument) {
                nap(i % 5);
                OK(pthread_cancel(thread));
                cancelled++;
            }
            CHECK(finish(thread) == (argument ? argument : PTHREAD_CANCELED));
        }
    }
    CHECK(cleaned <= cancelled);
    for (int i = 0; i < 4096; i++) {
        CHECK_EQ(stack[i], 0x5a);
        CHECK_EQ(stack[4096 + min + (size_t)i], 0x5a);
    }
    return 0;
}
