/*
 * A SIGSEGV handler on the thread's own alternate stack sees a stack overflow, with a fault
 * address near the end of that stack, and can leave by siglongjmp (POSIX sigaltstack).
 */
#include "check.h"

#include "overflow.h"

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>

enum { STACK = 256 << 10 };

static __thread sigjmp_buf back;
static __thread uintptr_t low;
static __thread char *alternate;
static __thread volatile int faults;

static void handler(int signal, siginfo_t *info, void *context)
{
    char local;
    uintptr_t address = (uintptr_t)info->si_addr;

    (void)context;
    CHECK_EQ(signal, SIGSEGV);
    CHECK(&local >= alternate && &local < alternate + 65536);
    /* Within a page or so of the lower bound, on either side. */
    CHECK(address + 65536 > low && address < low + 65536);
    faults++;
    siglongjmp(back, 1);
}

static void *body(void *argument)
{
    pthread_attr_t attr;
    void *stack;
    size_t size;

    alternate = malloc(65536);
    stack_t ss = { .ss_sp = alternate, .ss_size = 65536 };
    SYS(sigaltstack(&ss, NULL));
    OK(pthread_getattr_np(pthread_self(), &attr));
    OK(pthread_attr_getstack(&attr, &stack, &size));
    OK(pthread_attr_destroy(&attr));
    low = (uintptr_t)stack;
    for (volatile int i = 0; i < 10; i++) {
        if (sigsetjmp(back, 1) == 0) {
            overflow_stack();
        }
        CHECK_EQ(faults, i + 1);
        nap(1);
    }
    ss.ss_flags = SS_DISABLE;
    SYS(sigaltstack(&ss, NULL));
    free(alternate);
    return argument;
}

int main(void)
{
    pthread_t threads[8];
    pthread_attr_t attr;
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    watchdog();
    SYS(sigaction(SIGSEGV, &action, NULL));
    OK(pthread_attr_init(&attr));
    OK(pthread_attr_setstacksize(&attr, STACK));
    for (int i = 0; i < 8; i++) {
        OK(pthread_create(&threads[i], &attr, body, NULL));
    }
    for (int i = 0; i < 8; i++) {
        finish(threads[i]);
    }
    return 0;
}
