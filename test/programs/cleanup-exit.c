/*
 * Cleanup handlers in plain C: run by pthread_exit from nested calls in reverse order of pushing,
 * with their arguments, before TSD destructors; popped ones run only if asked to
 * (POSIX pthread_cleanup_push).
 */
#include "check.h"

static __thread char trace[16];
static __thread int length;
static pthread_key_t key;
static char result[16];

static void note(void *letter)
{
    /* A handler may block. */
    nap(1);
    trace[length++] = *(const char *)letter;
}

static void destructor(void *value)
{
    note(value);
    memcpy(result, trace, sizeof(result));
}

__attribute__((noinline)) static void inner(void)
{
    pthread_cleanup_push(note, "c");
    pthread_cleanup_push(note, "x");
    pthread_cleanup_pop(0);
    pthread_cleanup_push(note, "d");
    pthread_cleanup_pop(1);
    pthread_exit(&key);
    pthread_cleanup_pop(0);
}

static void *body(void *argument)
{
    OK(pthread_setspecific(key, "z"));
    pthread_cleanup_push(note, "a");
    pthread_cleanup_push(note, "b");
    inner();
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return argument;
}

static void *returns(void *argument)
{
    OK(pthread_setspecific(key, "z"));
    pthread_cleanup_push(note, "a");
    pthread_cleanup_pop(argument != NULL);
    return argument;
}

int main(void)
{
    watchdog();
    OK(pthread_key_create(&key, destructor));
    for (int i = 0; i < 10; i++) {
        CHECK(finish(start(body, NULL)) == &key);
        CHECK_EQ(strcmp(result, "dcbaz"), 0);
        finish(start(returns, &key));
        CHECK_EQ(strcmp(result, "az"), 0);
        finish(start(returns, NULL));
        CHECK_EQ(strcmp(result, "z"), 0);
    }
    return 0;
}
