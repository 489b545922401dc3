/*
 * pthread_getattr_np tells the bounds of the running thread's stack, of another thread's and of
 * main's, and its detach state (pthread_getattr_np(3)). Garbage collectors live on this.
 */
#include "check.h"

#include <semaphore.h>
#include <stdint.h>

static sem_t ready, go;

static void check_bounds(pthread_t thread, const void *local, size_t at_least)
{
    pthread_attr_t attr;
    void *stack;
    size_t size;

    OK(pthread_getattr_np(thread, &attr));
    OK(pthread_attr_getstack(&attr, &stack, &size));
    CHECK((uintptr_t)stack <= (uintptr_t)local);
    CHECK((uintptr_t)local < (uintptr_t)stack + size);
    CHECK(size >= at_least);
    OK(pthread_attr_destroy(&attr));
}

static void *body(void *argument)
{
    size_t size = *(size_t *)argument;
    char local = 0;

    check_bounds(pthread_self(), &local, size);
    *(void **)argument = &local;
    sem_post(&ready);
    sem_wait(&go);
    check_bounds(pthread_self(), &local, size);
    return NULL;
}

static void *detached_body(void *argument)
{
    pthread_attr_t attr;
    int state;

    OK(pthread_getattr_np(pthread_self(), &attr));
    OK(pthread_attr_getdetachstate(&attr, &state));
    CHECK_EQ(state, PTHREAD_CREATE_DETACHED);
    OK(pthread_attr_destroy(&attr));
    sem_post(&ready);
    return argument;
}

int main(void)
{
    size_t sizes[] = { 64 * 1024, 300 * 1024, 8 << 20, 64 << 20 };
    char local = 0;
    pthread_attr_t attr;

    watchdog();
    SYS(sem_init(&ready, 0, 0));
    SYS(sem_init(&go, 0, 0));
    check_bounds(pthread_self(), &local, 4096);
    for (int i = 0; i < 4; i++) {
        union {
            size_t size;
            void *local;
        } message = { sizes[i] };
        pthread_t thread;

        OK(pthread_attr_init(&attr));
        OK(pthread_attr_setstacksize(&attr, sizes[i]));
        OK(pthread_create(&thread, &attr, body, &message));
        OK(pthread_attr_destroy(&attr));
        sem_wait(&ready);
        check_bounds(thread, message.local, sizes[i]);
        sem_post(&go);
        finish(thread);
    }
    pthread_t thread;
    OK(pthread_attr_init(&attr));
    OK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
    OK(pthread_create(&thread, &attr, detached_body, NULL));
    sem_wait(&ready);
    return 0;
}
