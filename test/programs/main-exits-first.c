/*
 * The main thread calls pthread_exit: its handlers and thread-specific destructors run, it can be
 * joined, the others go on, and the process ends with status 0 after the last one; also from
 * deep in C frames (POSIX pthread_exit).
 */
#include "check.h"

#include <semaphore.h>

static pthread_t main_thread;
static pthread_key_t key;
static sem_t go;
static int handled, destroyed;

static void handler(void *argument)
{
    handled = *(int *)argument;
}

static void destructor(void *value)
{
    CHECK_EQ(handled, 7);
    destroyed = *(int *)value;
}

static void at_exit(void)
{
    printf("exit handler\n");
}

static void *waits(void *argument)
{
    sem_wait(&go);
    printf("the last thread\n");
    return argument;
}

static void *joins(void *argument)
{
    void *value;

    OK(pthread_join(main_thread, &value));
    CHECK(value == &key);
    CHECK_EQ(handled, 7);
    CHECK_EQ(destroyed, 8);
    sem_post(&go);
    return argument;
}

static volatile int depth_left = 50;

__attribute__((noinline)) static int leave(void)
{
    volatile char frame[200];

    frame[0] = (char)depth_left;
    if (--depth_left == 0) {
        pthread_exit(&key);
    }
    return depth_left < 0 ? 0 : leave() + frame[0];
}

int main(void)
{
    static int eight = 8;
    static int seven = 7;

    watchdog();
    atexit(at_exit);
    main_thread = pthread_self();
    SYS(sem_init(&go, 0, 0));
    OK(pthread_key_create(&key, destructor));
    OK(pthread_setspecific(key, &eight));
    OK(pthread_detach(start(waits, NULL)));
    OK(pthread_detach(start(joins, NULL)));
    pthread_cleanup_push(handler, &seven);
    (void)leave();
    pthread_cleanup_pop(0);
    return 1;
}
