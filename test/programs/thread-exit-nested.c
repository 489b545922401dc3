/*
 * pthread_exit ends the thread from any depth of calls and skips everything after it
 * (POSIX pthread_exit).
 */
#include "check.h"

static int came_back;

/* Through a pointer, so that the compiler expects a return. */
static void (*volatile leave)(void *) = (void (*)(void *))pthread_exit;

__attribute__((noinline)) static int descend(int depth, void *value)
{
    volatile char frame[64];

    frame[0] = (char)depth;
    if (depth == 0) {
        leave(value);
    } else {
        descend(depth - 1, value);
    }
    came_back += 1 + (frame[0] != (char)depth);
    return came_back;
}

static void *body(void *argument)
{
    came_back += descend(1000, argument);
    return NULL;
}

int main(void)
{
    pthread_t threads[20];
    int marks[20];

    watchdog();
    for (int i = 0; i < 20; i++) {
        threads[i] = start(body, &marks[i]);
    }
    for (int i = 0; i < 20; i++) {
        CHECK(finish(threads[i]) == &marks[i]);
    }
    CHECK_EQ(came_back, 0);
    return 0;
}
