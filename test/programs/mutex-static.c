/*
 * Mutexes made by the static initialisers, or simply zeroed, behave as their type says, also when
 * copied as bytes before first use (PTHREAD_MUTEX_INITIALIZER and its _NP relatives).
 */
#include "check.h"

#include <sched.h>

static pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t checking = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_mutex_t adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t zeroed;

struct shared {
    pthread_mutex_t *mutex;
    int a, b;
};

static void *body(void *argument)
{
    struct shared *shared = argument;

    for (int i = 0; i < 200; i++) {
        OK(pthread_mutex_lock(shared->mutex));
        CHECK_EQ(shared->a, shared->b);
        shared->a++;
        if (i % 10 == 0) {
            sched_yield();
        }
        shared->b++;
        OK(pthread_mutex_unlock(shared->mutex));
    }
    return NULL;
}

static void exclude(pthread_mutex_t *mutex)
{
    struct shared shared = { .mutex = mutex };
    pthread_t threads[10];

    for (int i = 0; i < 10; i++) {
        threads[i] = start(body, &shared);
    }
    for (int i = 0; i < 10; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(shared.a, 2000);
}

int main(void)
{
    static const pthread_mutex_t originals[] = {
        PTHREAD_MUTEX_INITIALIZER,
        PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
        PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP,
        PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP,
    };
    pthread_mutex_t *mutexes[] = { &normal, &recursive, &checking, &adaptive, &zeroed };

    watchdog();
    for (int i = 0; i < 5; i++) {
        exclude(mutexes[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_mutex_t *copy = malloc(sizeof(*copy));

        memcpy(copy, &originals[i], sizeof(*copy));
        exclude(copy);
        OK(pthread_mutex_destroy(copy));
        free(copy);
    }
    OK(pthread_mutex_lock(&recursive));
    OK(pthread_mutex_lock(&recursive));
    OK(pthread_mutex_unlock(&recursive));
    OK(pthread_mutex_unlock(&recursive));
    CHECK_EQ(pthread_mutex_unlock(&recursive), EPERM);
    OK(pthread_mutex_lock(&checking));
    CHECK_EQ(pthread_mutex_lock(&checking), EDEADLK);
    OK(pthread_mutex_unlock(&checking));
    CHECK_EQ(pthread_mutex_unlock(&checking), EPERM);
    return 0;
}
