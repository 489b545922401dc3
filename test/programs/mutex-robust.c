/*
 * A robust mutex whose owner ended answers EOWNERDEAD, is usable again after
 * pthread_mutex_consistent and ENOTRECOVERABLE without it; also when the owner was a process
 * (POSIX pthread_mutex_consistent).
 */
#include "check.h"

#include <sys/mman.h>

static pthread_mutex_t *mutex;

static void make(void)
{
    pthread_mutexattr_t attr;

    OK(pthread_mutexattr_init(&attr));
    OK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
    OK(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
    OK(pthread_mutex_init(mutex, &attr));
}

static void *dies_with_it(void *argument)
{
    OK(pthread_mutex_lock(mutex));
    nap(20);
    return argument;
}

static void *waits_for_it(void *argument)
{
    int error = pthread_mutex_lock(mutex);

    if (error == EOWNERDEAD) {
        OK(pthread_mutex_consistent(mutex));
        __atomic_add_fetch((int *)argument, 1, __ATOMIC_SEQ_CST);
    } else {
        OK(error);
    }
    OK(pthread_mutex_unlock(mutex));
    return NULL;
}

int main(void)
{
    pthread_t threads[5];
    int inherited = 0;

    watchdog();
    mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(mutex != MAP_FAILED);

    /* A thread that ends before, and one that ends while others wait. */
    make();
    finish(start(dies_with_it, NULL));
    CHECK_EQ(pthread_mutex_trylock(mutex), EOWNERDEAD);
    OK(pthread_mutex_consistent(mutex));
    OK(pthread_mutex_unlock(mutex));
    pthread_t owner = start(dies_with_it, NULL);
    nap(5);
    for (int i = 0; i < 5; i++) {
        threads[i] = start(waits_for_it, &inherited);
    }
    finish(owner);
    for (int i = 0; i < 5; i++) {
        finish(threads[i]);
    }
    /* Whoever came first after the owner, even if the owner came late itself. */
    waits_for_it(&inherited);
    CHECK_EQ(inherited, 1);

    /* A process. */
    pid_t child = SYS(fork());
    if (child == 0) {
        pthread_mutex_lock(mutex);
        _exit(0);
    }
    CHECK_EQ(reap(child), 0);
    CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
    OK(pthread_mutex_unlock(mutex));
    CHECK_EQ(pthread_mutex_lock(mutex), ENOTRECOVERABLE);
    OK(pthread_mutex_destroy(mutex));
    return 0;
}
