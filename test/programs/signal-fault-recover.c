/* Threads that touch protected memory, divide by zero or jump to nowhere, and recover by siglongjmp out
 * of a handler on their own alternate stacks, again and again, with waits in between: as runtimes do. */
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#define THREADS 8
#define ROUNDS  120

static _Thread_local sigjmp_buf back;
static _Thread_local volatile uintptr_t expected;
static _Thread_local char *mine;
static char *page;

static void handler(int sig, siginfo_t *info, void *context)
{
    char here;
    (void)context;
    CHECK(&here > mine && &here < mine + 65536);
    if (sig == SIGSEGV) {
        CHECK((uintptr_t)info->si_addr == expected);
        CHECK(info->si_code > 0);
    }
    siglongjmp(back, sig);
}

static void *body(void *argument)
{
    stack_t alt = { .ss_size = 65536 };
    sigset_t now;
    CHECK((alt.ss_sp = malloc(alt.ss_size)) != NULL);
    SYS(sigaltstack(&alt, NULL));
    mine = alt.ss_sp;
    for (volatile int i = 0; i < ROUNDS; i++) {
        int sig = sigsetjmp(back, 1);
        if (!sig) {
            expected = (uintptr_t)(page + (long)argument * 64 + i % 64);
            if (i % 3 == 0) {
                *(volatile char *)expected = 1;
            } else if (i % 3 == 1) {
                volatile int zero = 0, ten = 10;
                ten = ten / zero;
            } else {
                __builtin_trap();
            }
            CHECK(!"here");
        }
        CHECK_EQ(sig, i % 3 == 0 ? SIGSEGV : i % 3 == 1 ? SIGFPE : SIGILL);
        OK(pthread_sigmask(SIG_SETMASK, NULL, &now));
        CHECK_EQ(sigismember(&now, sig), 0);
        if (i % 5 == 0) {
            usleep(200);
        } else if (i % 5 == 1) {
            sched_yield();
        }
    }
    alt.ss_flags = SS_DISABLE;
    SYS(sigaltstack(&alt, NULL));
    free(mine);
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_ONSTACK | SA_SIGINFO };
    watchdog();
#ifndef __x86_64__
    SKIP("division by zero does not trap");
#endif
    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    SYS(sigaction(SIGSEGV, &action, NULL));
    SYS(sigaction(SIGFPE, &action, NULL));
    SYS(sigaction(SIGILL, &action, NULL));
    run_threads(THREADS, body);
    return 0;
}
