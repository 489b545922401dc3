/*
 * Threads that create threads: every node of a binary tree is a thread that joins its own two
 * children and adds up their sizes (POSIX pthread_create, pthread_join).
 */
#include "check.h"

#include <stdint.h>

enum { DEPTH = 10 };

static void *node(void *argument)
{
    intptr_t depth = (intptr_t)argument;

    if (depth == 0) {
        return (void *)1;
    }
    pthread_t left = start(node, (void *)(depth - 1));
    pthread_t right = start(node, (void *)(depth - 1));
    return (void *)((intptr_t)finish(right) + (intptr_t)finish(left) + 1);
}

int main(void)
{
    watchdog();
    intptr_t nodes = (intptr_t)finish(start(node, (void *)(intptr_t)DEPTH));
    CHECK_EQ(nodes, (2 << DEPTH) - 1);
    printf("%ld threads\n", (long)nodes);
    return 0;
}
