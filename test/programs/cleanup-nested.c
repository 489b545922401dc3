/*
 * Cleanup handlers run in reverse order of their installation, those that were popped only when that
 * was asked for; then come the destructors of thread-specific data (POSIX pthread_cleanup_push).
 */
#include "check.h"

static char order[32];
static pthread_key_t key;

static void note(void *text)
{
    strcat(order, text);
}

static void *body(void *argument)
{
    OK(pthread_setspecific(key, "d"));
    pthread_cleanup_push(note, "1");
    pthread_cleanup_push(note, "2");
    pthread_cleanup_pop(1);
    pthread_cleanup_push(note, "3");
    pthread_cleanup_pop(0);
    pthread_cleanup_push(note, "4");
    if (argument) {
        pthread_exit(argument);
    }
    OK(pthread_cancel(pthread_self()));
    pthread_testcancel();
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}

int main(void)
{
    watchdog();
    OK(pthread_key_create(&key, note));
    for (int i = 0; i < 20; i++) {
        order[0] = 0;
        CHECK(finish(start(body, i % 2 ? order : NULL)) == (i % 2 ? order : PTHREAD_CANCELED));
        CHECK_EQ(strcmp(order, "241d"), 0);
    }
    return 0;
}
