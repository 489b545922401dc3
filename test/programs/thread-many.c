/*
 * 5,000 threads alive at once, each blocked with its own locals intact, then all released
 * (POSIX pthread_create, sem_wait).
 */
#include "check.h"

#include <semaphore.h>
#include <stdint.h>

enum { THREADS = 5000 };

static pthread_t threads[THREADS];
static sem_t alive;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static int open_gate;

static void *body(void *argument)
{
    volatile uintptr_t locals[64];

    for (int i = 0; i < 64; i++) {
        locals[i] = (uintptr_t)argument * 64 + i;
    }
    sem_post(&alive);
    pthread_mutex_lock(&lock);
    while (!open_gate) {
        pthread_cond_wait(&opened, &lock);
    }
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < 64; i++) {
        CHECK_EQ(locals[i], (uintptr_t)argument * 64 + i);
    }
    return argument;
}

int main(void)
{
    watchdog();
    SYS(sem_init(&alive, 0, 0));
    for (intptr_t i = 0; i < THREADS; i++) {
        int error = pthread_create(&threads[i], NULL, body, (void *)i);

        if (error == EAGAIN) {
            SKIP("this system does not allow 5,000 threads");
        }
        OK(error);
    }
    for (int i = 0; i < THREADS; i++) {
        SYS(sem_wait(&alive));
    }
    pthread_mutex_lock(&lock);
    open_gate = 1;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&lock);
    for (intptr_t i = 0; i < THREADS; i++) {
        CHECK(finish(threads[i]) == (void *)i);
    }
    return 0;
}
