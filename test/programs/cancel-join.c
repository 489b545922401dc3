/*
 * A thread that is cancelled in pthread_join has not joined: the target runs on and can be joined by
 * another thread (POSIX pthread_join).
 */
#include "check.h"

#include <semaphore.h>
#include <stdatomic.h>

static sem_t go;
static atomic_int joining;

static void *target(void *argument)
{
    while (sem_wait(&go) < 0) {
    }
    return argument;
}

static void *joiner(void *argument)
{
    void *value = NULL;

    joining++;
    pthread_join(*(pthread_t *)argument, &value);
    return value;
}

int main(void)
{
    enum { N = 100 };
    static pthread_t targets[N], joiners[N];

    watchdog();
    SYS(sem_init(&go, 0, 0));
    for (int i = 0; i < N; i++) {
        targets[i] = start(target, &go);
        joiners[i] = start(joiner, &targets[i]);
    }
    while (joining < N) {
        nap(1);
    }
    for (int i = 0; i < N; i++) {
        OK(pthread_cancel(joiners[i]));
    }
    for (int i = 0; i < N; i++) {
        CHECK(finish(joiners[i]) == PTHREAD_CANCELED);
        CHECK_EQ(pthread_tryjoin_np(targets[i], NULL), EBUSY);
    }
    for (int i = 0; i < N; i++) {
        sem_post(&go);
    }
    for (int i = 0; i < N; i++) {
        CHECK(finish(targets[i]) == &go);
    }
    return 0;
}
