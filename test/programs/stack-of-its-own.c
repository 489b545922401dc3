/* Code that a runtime generates may use the stack pointer for a stack of its own, with nothing but
 * data below it (Erlang's processes live on their heap like that): who interrupts such a thread must
 * use its alternate stack. */
#include "check.h"
#include <signal.h>
#include <stdint.h>

#define BELOW 65536
#define RED   128 /* the ABI's red zone: a handler would leave it alone anyway */

static volatile int stop;
static char heap[4][BELOW + 4096] __attribute__((aligned(64)));

static void spin_at(void *sp)
{
#ifdef __x86_64__
    __asm__ volatile("mov %%rsp, %%rbx\n\t"
                     "mov %0, %%rsp\n"
                     "1:\tcmpl $0, %1\n\t"
                     "je 1b\n\t"
                     "mov %%rbx, %%rsp"
                     :
                     : "r"(sp), "m"(stop)
                     : "rbx", "cc", "memory");
#else
    (void)sp;
#endif
}

static void *work(void *arg)
{
    char *here = arg;
    stack_t alt = { .ss_size = 65536 };
    CHECK((alt.ss_sp = malloc(alt.ss_size)));
    SYS(sigaltstack(&alt, NULL));
    memset(here, 0x5a, BELOW);
    spin_at(here + BELOW);
    for (int i = 0; i < BELOW - RED; i++)
        CHECK_EQ(here[i], 0x5a);
    return NULL;
}

int main(void)
{
#ifndef __x86_64__
    SKIP("x86-64 assembly");
#endif
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        OK(pthread_create(&t[i], NULL, work, heap[i]));
    struct timespec while_they_spin = { 0, 300000000 };
    nanosleep(&while_they_spin, NULL);
    stop = 1;
    for (int i = 0; i < 4; i++)
        OK(pthread_join(t[i], NULL));
    return 0;
}
