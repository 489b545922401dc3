/*
 * Destructors of thread-specific data may do what any code may: sleep, wait for locks and pipes,
 * allocate, create threads that have destructors of their own, and join them.
 */
#include "check.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>

static pthread_key_t key;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sem_t sem;
static atomic_int destroyed;

static void *child(void *depth)
{
    OK(pthread_setspecific(key, depth));
    sched_yield();
    return depth;
}

static void destructor(void *value)
{
    uintptr_t depth = (uintptr_t)value;
    pthread_t self = pthread_self();
    int fds[2], here = 0, *volatile there = &here;
    char byte;

    errno = 1234;
    usleep(100);
    OK(pthread_mutex_lock(&lock));
    sched_yield();
    OK(pthread_mutex_unlock(&lock));
    sem_post(&sem);
    sem_wait(&sem);
    SYS(pipe(fds));
    if (depth > 1) {
        pthread_t thread = start(child, (void *)(depth - 1));

        SYS(write(fds[1], "x", 1));
        CHECK(finish(thread) == (void *)(depth - 1));
    } else {
        SYS(write(fds[1], "x", 1));
    }
    CHECK_EQ(read(fds[0], &byte, 1), 1);
    close(fds[0]);
    close(fds[1]);
    free(malloc(1000));
    CHECK(pthread_equal(self, pthread_self()));
    CHECK(there == &here);
    CHECK_EQ(errno, 1234);
    destroyed++;
}

int main(void)
{
    pthread_t threads[50];

    watchdog();
    SYS(sem_init(&sem, 0, 0));
    OK(pthread_key_create(&key, destructor));
    for (int i = 0; i < 50; i++) {
        threads[i] = start(child, (void *)4);
    }
    for (int i = 0; i < 50; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(destroyed, 200);
    return 0;
}
