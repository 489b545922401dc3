/*
 * pthread_self is the identifier that pthread_create stored, differs between live threads and
 * never changes, whatever the thread blocks on (POSIX pthread_self, pthread_equal).
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>

enum { THREADS = 100 };

static pthread_t ids[THREADS];
static pthread_t seen[THREADS];
static pthread_barrier_t barrier;
static sem_t go;

static void *body(void *argument)
{
    pthread_t *mine = argument;
    pthread_t self = pthread_self();

    *mine = self;
    pthread_barrier_wait(&barrier);
    CHECK(pthread_equal(self, pthread_self()));
    nap(1);
    CHECK(pthread_equal(self, pthread_self()));
    sched_yield();
    CHECK(pthread_equal(self, pthread_self()));
    sem_wait(&go);
    CHECK(pthread_equal(self, pthread_self()));
    return NULL;
}

int main(void)
{
    pthread_t self = pthread_self();

    watchdog();
    OK(pthread_barrier_init(&barrier, NULL, THREADS + 1));
    SYS(sem_init(&go, 0, 0));
    for (int i = 0; i < THREADS; i++) {
        ids[i] = start(body, &seen[i]);
    }
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_equal(ids[i], seen[i]));
        CHECK(!pthread_equal(ids[i], self));
        for (int j = 0; j < i; j++) {
            CHECK(!pthread_equal(ids[i], ids[j]));
        }
    }
    for (int i = 0; i < THREADS; i++) {
        SYS(sem_post(&go));
    }
    for (int i = 0; i < THREADS; i++) {
        finish(ids[i]);
    }
    CHECK(pthread_equal(self, pthread_self()));
    return 0;
}
