/*
 * A destructor of thread-specific data calls pthread_exit, or is cancelled, in a thread that had
 * returned: the thread ends with that result. glibc runs those destructors that are left only if a
 * value was set since; what runs is printed, to be compared.
 */
#include "check.h"

static pthread_key_t keys[4];
static int calls[4], cancel, again;

static void destructor(void *value)
{
    int which = *(int *)value;

    calls[which]++;
    if (which == 0 && again) {
        again = 0;
        OK(pthread_setspecific(keys[0], value));
    }
    if (which == 1 && cancel) {
        OK(pthread_cancel(pthread_self()));
        pthread_testcancel();
    } else if (which == 1) {
        pthread_exit(&cancel);
    }
}

static void *body(void *argument)
{
    static int numbers[4] = { 0, 1, 2, 3 };

    for (int i = 0; i < 4; i++) {
        OK(pthread_setspecific(keys[i], &numbers[i]));
    }
    return argument;
}

int main(void)
{
    watchdog();
    for (int i = 0; i < 4; i++) {
        OK(pthread_key_create(&keys[i], destructor));
    }
    for (int round = 0; round < 20; round++) {
        cancel = round % 2;
        again = round / 2 % 2;
        memset(calls, 0, sizeof calls);
        void *value = finish(start(body, NULL));
        CHECK(value == (cancel ? PTHREAD_CANCELED : (void *)&cancel));
        printf("%d %d %d %d\n", calls[0], calls[1], calls[2], calls[3]);
    }
    return 0;
}
