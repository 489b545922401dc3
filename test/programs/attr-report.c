/*
 * What pthread_getattr_np reports of a thread is what its attributes asked for, default ones included:
 * stack size, guard size, detach state, scope, inheritance; printed, to be compared.
 */
#include "check.h"

#include <limits.h>
#include <stdint.h>

static size_t default_size; /* if the thread has it */

static void report(const char *what)
{
    pthread_attr_t attr;
    size_t size, guard;
    int detached, scope, inherit;
    void *low;
    char local;

    OK(pthread_getattr_np(pthread_self(), &attr));
    OK(pthread_attr_getstack(&attr, &low, &size));
    OK(pthread_attr_getguardsize(&attr, &guard));
    OK(pthread_attr_getdetachstate(&attr, &detached));
    OK(pthread_attr_getscope(&attr, &scope));
    OK(pthread_attr_getinheritsched(&attr, &inherit));
    CHECK((char *)low <= &local && &local < (char *)low + size);
    if (default_size) { /* may be more than natively */
        CHECK(size >= default_size);
        size = 0;
    }
    printf("%s: size %zu guard %zu detached %d scope %d inherit %d aligned %d\n", what, size, guard,
           detached == PTHREAD_CREATE_DETACHED, scope == PTHREAD_SCOPE_SYSTEM,
           inherit == PTHREAD_INHERIT_SCHED, (uintptr_t)low % 4096 == 0);
    /* All of it but the guard is there. */
    for (char *p = &local - 4096; p > (char *)low + 4096; p -= 4096) {
        *(volatile char *)p = 1;
    }
    OK(pthread_attr_destroy(&attr));
}

static void *body(void *what)
{
    report(what);
    return NULL;
}

static void with(const char *what, size_t stack, size_t guard)
{
    pthread_attr_t attr;
    pthread_t thread;

    OK(pthread_attr_init(&attr));
    if (stack) {
        OK(pthread_attr_setstacksize(&attr, stack));
    }
    OK(pthread_attr_setguardsize(&attr, guard));
    OK(pthread_create(&thread, &attr, body, (void *)(uintptr_t)what));
    finish(thread);
    OK(pthread_attr_destroy(&attr));
}

int main(void)
{
    pthread_attr_t attr, before;
    size_t size;

    watchdog();
    OK(pthread_attr_init(&attr));
    OK(pthread_attr_getstacksize(&attr, &default_size));
    finish(start(body, "default"));
    with("no guard, default size", 0, 0);
    default_size = 0;
    with("64 KiB", 64 * 1024, 4096);
    with("odd guard", 256 * 1024, 4097);
    with("no guard", 256 * 1024, 0);
    with("one byte of guard", 256 * 1024, 1);
    with("large guard", 128 * 1024, 1 << 20);
    with("large", 100 << 20, 4096);

    OK(pthread_getattr_default_np(&before));
    OK(pthread_getattr_default_np(&attr));
    OK(pthread_attr_setstacksize(&attr, 320 * 1024));
    OK(pthread_attr_setguardsize(&attr, 8192));
    OK(pthread_setattr_default_np(&attr));
    finish(start(body, "new default"));
    with("beside it", 512 * 1024, 4096);
    OK(pthread_attr_destroy(&attr));
    OK(pthread_attr_init(&attr));
    OK(pthread_attr_getstacksize(&attr, &size));
    printf("an initialised attribute: %zu\n", size);
    OK(pthread_setattr_default_np(&before));
    finish(start(body, "old default"));
    CHECK_EQ(pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN - 1), EINVAL);
    return 0;
}
