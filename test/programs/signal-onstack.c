/* Each thread has an alternate stack: handlers with SA_ONSTACK run on the stack of the thread that they
 * interrupt, wait there, and are told so by sigaltstack; a new thread has none. */
#include "check.h"
#include <signal.h>

#define THREADS 12
#define SIZE    (64 * 1024)

static _Thread_local char *mine;
static volatile int stop;
static _Atomic long handled;

static void handler(int sig)
{
    char here;
    stack_t now, other = { .ss_sp = mine, .ss_size = SIZE };
    (void)sig;
    if (!mine) {
        return;
    }
    CHECK(&here > mine && &here < mine + SIZE);
    SYS(sigaltstack(NULL, &now));
    CHECK(now.ss_sp == mine);
    CHECK_EQ(now.ss_flags & SS_ONSTACK, SS_ONSTACK);
    FAILS(sigaltstack(&other, NULL), EPERM);
    if (handled++ % 3 == 0) {
        usleep(300); /* others run meanwhile, and take theirs */
        SYS(sigaltstack(NULL, &now));
        CHECK_EQ(now.ss_flags & SS_ONSTACK, SS_ONSTACK);
        CHECK(now.ss_sp == mine);
    }
}

static void *body(void *argument)
{
    stack_t now, alt = { .ss_size = SIZE };
    SYS(sigaltstack(NULL, &now));
    CHECK_EQ(now.ss_flags, SS_DISABLE);
    CHECK((alt.ss_sp = malloc(SIZE)) != NULL);
    SYS(sigaltstack(&alt, NULL));
    mine = alt.ss_sp;
    for (long i = 0; !stop; i++) {
        if ((i + (long)argument) % 4 == 0) {
            usleep(100);
        } else {
            sched_yield();
        }
        SYS(sigaltstack(NULL, &now));
        CHECK(now.ss_sp == mine);
        CHECK_EQ(now.ss_flags, 0);
    }
    alt.ss_flags = SS_DISABLE;
    SYS(sigaltstack(&alt, NULL));
    free(mine);
    mine = NULL;
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART };
    pthread_t threads[THREADS];
    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    for (long i = 0; i < THREADS; i++) {
        threads[i] = start(body, (void *)i);
    }
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < THREADS; i++) {
            OK(pthread_kill(threads[i], SIGUSR1));
        }
        usleep(500);
    }
    nap(50);
    stop = 1;
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    CHECK(handled > THREADS);
    return 0;
}
