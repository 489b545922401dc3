/*
 * The same in C that is compiled with -fexceptions, where cleanup handlers are variables with a cleanup
 * attribute: they and other such variables run in order when the stack is unwound, and pthread_exit in
 * a handler goes on with the next ones and decides on the result.
 */
#include "check.h"

static char order[32];

static void note(void *text)
{
    strcat(order, text);
}

static void leave_scope(char **text)
{
    strcat(order, *text);
}

__attribute__((noinline)) static void deep(int levels)
{
    char *mark __attribute__((cleanup(leave_scope), unused)) = "v";

    if (levels) {
        deep(levels - 1);
    } else {
        pause();
    }
    __asm__ volatile("" ::: "memory");
}

static void leave(void *result)
{
    note("x");
    pthread_exit(result);
}

static void *body(void *argument)
{
    pthread_cleanup_push(note, "1");
    pthread_cleanup_push(note, "2");
    if (argument) {
        pthread_cleanup_push(leave, argument);
        deep(2);
        pthread_cleanup_pop(0);
    }
    deep(2);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return argument;
}

int main(void)
{
    watchdog();
    for (int i = 0; i < 20; i++) {
        int leaves = i % 3 == 0;
        pthread_t thread = start(body, leaves ? order : NULL);

        if (i % 2) {
            nap(2);
        }
        order[0] = 0;
        OK(pthread_cancel(thread));
        CHECK(finish(thread) == (leaves ? order : PTHREAD_CANCELED));
        CHECK_EQ(strcmp(order, leaves ? "vvvx21" : "vvv21"), 0);
    }
    return 0;
}
