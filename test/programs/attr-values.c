/*
 * Thread attribute objects: defaults, values read back, and EINVAL for what they cannot hold
 * (POSIX pthread_attr_*; pthread_attr_setdefault_np(3)).
 */
#include "check.h"

#include <limits.h>
#include <sched.h>

static void *body(void *argument)
{
    return argument;
}

int main(void)
{
    pthread_attr_t attr;
    struct sched_param param;
    size_t size;
    int value;

    watchdog();
    OK(pthread_attr_init(&attr));

    OK(pthread_attr_getdetachstate(&attr, &value));
    CHECK_EQ(value, PTHREAD_CREATE_JOINABLE);
    OK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
    OK(pthread_attr_getdetachstate(&attr, &value));
    CHECK_EQ(value, PTHREAD_CREATE_DETACHED);
    CHECK_EQ(pthread_attr_setdetachstate(&attr, 99), EINVAL);
    OK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_JOINABLE));

    OK(pthread_attr_getguardsize(&attr, &size));
    CHECK_EQ(size, sysconf(_SC_PAGESIZE));
    OK(pthread_attr_setguardsize(&attr, 5 * 4096));
    OK(pthread_attr_getguardsize(&attr, &size));
    CHECK_EQ(size, 5 * 4096);

    OK(pthread_attr_getstacksize(&attr, &size));
    CHECK(size >= (size_t)PTHREAD_STACK_MIN);
    CHECK_EQ(pthread_attr_setstacksize(&attr, 1), EINVAL);
    OK(pthread_attr_setstacksize(&attr, 300000));
    OK(pthread_attr_getstacksize(&attr, &size));
    CHECK_EQ(size, 300000);

    OK(pthread_attr_getschedpolicy(&attr, &value));
    CHECK_EQ(value, SCHED_OTHER);
    OK(pthread_attr_getschedparam(&attr, &param));
    CHECK_EQ(param.sched_priority, 0);
    OK(pthread_attr_getinheritsched(&attr, &value));
    CHECK_EQ(value, PTHREAD_INHERIT_SCHED);
    OK(pthread_attr_getscope(&attr, &value));
    CHECK_EQ(value, PTHREAD_SCOPE_SYSTEM);
    CHECK_EQ(pthread_attr_setscope(&attr, PTHREAD_SCOPE_PROCESS), ENOTSUP);

    /* An attribute object with all of this makes threads, several, and can go before they end. */
    pthread_t a, b;
    OK(pthread_create(&a, &attr, body, &size));
    OK(pthread_create(&b, &attr, body, &value));
    OK(pthread_attr_destroy(&attr));
    CHECK(finish(a) == &size);
    CHECK(finish(b) == &value);

    /* The default attributes of the process. */
    OK(pthread_getattr_default_np(&attr));
    OK(pthread_attr_setstacksize(&attr, 512 * 1024));
    OK(pthread_setattr_default_np(&attr));
    OK(pthread_attr_destroy(&attr));
    CHECK(finish(start(body, &a)) == &a);
    OK(pthread_attr_init(&attr));
    OK(pthread_attr_getstacksize(&attr, &size));
    CHECK_EQ(size, 512 * 1024);
    return 0;
}
