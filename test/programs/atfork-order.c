/*
 * pthread_atfork: prepare handlers in reverse order of registration, parent and child handlers in
 * order, all in the thread that forks (POSIX pthread_atfork).
 */
#include "check.h"

static char trace[16];
static int length;
static pthread_t forker;

#define HANDLER(name, letter)                                                                      \
    static void name(void)                                                                         \
    {                                                                                              \
        CHECK(pthread_equal(forker, pthread_self()));                                              \
        trace[length++] = letter;                                                                  \
    }

HANDLER(prepare1, 'a')
HANDLER(parent1, 'b')
HANDLER(child1, 'c')
HANDLER(prepare2, 'd')
HANDLER(parent2, 'e')
HANDLER(child2, 'f')

static void *body(void *argument)
{
    for (int i = 0; i < 20; i++) {
        memset(trace, 0, sizeof(trace));
        length = 0;
        forker = pthread_self();
        pid_t child = SYS(fork());
        if (child == 0) {
            _exit(strcmp(trace, "dacf") == 0 ? 0 : 1);
        }
        CHECK_EQ(strcmp(trace, "dabe"), 0);
        CHECK_EQ(reap(child), 0);
    }
    return argument;
}

int main(void)
{
    watchdog();
    OK(pthread_atfork(prepare1, parent1, child1));
    OK(pthread_atfork(prepare2, parent2, child2));
    body(NULL);
    finish(start(body, NULL));
    body(NULL);
    return 0;
}
