/*
 * A guard of at least the size asked for lies below the stack: a write anywhere into it is
 * SIGSEGV (POSIX pthread_attr_setguardsize).
 */
#include "check.h"

#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

enum { PAGE = 4096, GUARD = 64 * 1024, STACK = 256 * 1024 };

/* How far below a local of the thread the last writable page begins. */
static volatile uintptr_t *reach;
static sem_t go, never;

static void *waits(void *argument)
{
    sem_wait(&never);
    return argument;
}

static void *finds_end(void *argument)
{
    volatile char local = 0;

    sem_wait(&go);
    uintptr_t page = (uintptr_t)&local & ~(uintptr_t)(PAGE - 1);

    for (;; page -= PAGE) {
        *(volatile char *)page = 1;
        *reach = (uintptr_t)&local - page;
    }
    return argument;
}

static void *writes_below_end(void *argument)
{
    volatile char local = 0;

    sem_wait(&go);
    uintptr_t end = ((uintptr_t)&local & ~(uintptr_t)(PAGE - 1)) -
                    (*reach & ~(uintptr_t)(PAGE - 1));

    *(volatile char *)(end - (uintptr_t)argument) = 1;
    return argument;
}

static int dies_of(void *(*body)(void *), void *argument)
{
    pthread_attr_t attr;
    pthread_t thread;
    pid_t child = SYS(fork());

    if (child == 0) {
        watchdog();
        no_core();
        OK(pthread_attr_init(&attr));
        OK(pthread_attr_setstacksize(&attr, STACK));
        OK(pthread_attr_setguardsize(&attr, GUARD));
        SYS(sem_init(&go, 0, 0));
        SYS(sem_init(&never, 0, 0));
        /* Neighbours on both sides: what lies beyond a guard that is too small is writable. */
        for (int i = 0; i < 7; i++) {
            void *(*neighbour)(void *) = i == 3 ? body : waits;

            OK(pthread_create(&thread, &attr, neighbour, argument));
        }
        sem_post(&go);
        nap(20000);
        _exit(0);
    }
    int status = reap(child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int main(void)
{
    watchdog();
    reach = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(reach != MAP_FAILED);
    CHECK_EQ(dies_of(finds_end, NULL), SIGSEGV);
    CHECK(*reach > 0);
    for (uintptr_t offset = 1; offset <= GUARD; offset += GUARD / 8 - 1) {
        CHECK_EQ(dies_of(writes_below_end, (void *)offset), SIGSEGV);
    }
    return 0;
}
