/*
 * The join and detach errors that glibc defines: joining oneself is EDEADLK, joining a detached
 * thread is EINVAL, a second detach is EINVAL, and trying a live thread is EBUSY
 * (pthread_join(3), pthread_detach(3), pthread_tryjoin_np(3)).
 */
#include "check.h"

#include <semaphore.h>

static sem_t go;

static void *waits(void *argument)
{
    sem_wait(&go);
    return argument;
}

static void *joins_itself(void *argument)
{
    struct timespec t = from_now(CLOCK_REALTIME, 30000);

    CHECK_EQ(pthread_join(pthread_self(), NULL), EDEADLK);
    CHECK_EQ(pthread_timedjoin_np(pthread_self(), NULL, &t), EDEADLK);
    return argument;
}

int main(void)
{
    struct timespec t = from_now(CLOCK_REALTIME, 30000);
    pthread_t thread;

    watchdog();
    SYS(sem_init(&go, 0, 0));

    CHECK_EQ(pthread_join(pthread_self(), NULL), EDEADLK);
    CHECK(finish(start(joins_itself, &go)) == &go);

    thread = start(waits, NULL);
    CHECK_EQ(pthread_tryjoin_np(thread, NULL), EBUSY);
    OK(pthread_detach(thread));
    CHECK_EQ(pthread_join(thread, NULL), EINVAL);
    CHECK_EQ(pthread_timedjoin_np(thread, NULL, &t), EINVAL);
    CHECK_EQ(pthread_detach(thread), EINVAL);
    /* Not joinable and not ended: glibc looks at the latter first, another library need not. */
    int error = pthread_tryjoin_np(thread, NULL);
    CHECK(error == EBUSY || error == EINVAL);
    sem_post(&go);

    thread = start(waits, &go);
    sem_post(&go);
    CHECK(finish(thread) == &go);
    return 0;
}
