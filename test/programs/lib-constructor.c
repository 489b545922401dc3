/* The library of library-constructor.c: its constructor and its destructor use threads. */
#include "check.h"

#include <semaphore.h>
#include "library-constructor.h"

int constructor_ran, constructor_destructions;
pthread_t constructor_main;
pthread_key_t constructor_key;
pthread_mutex_t constructor_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t constructor_held = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;

static pthread_mutex_t robust;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t sem;
static int runs;

static void run_once(void)
{
    runs++;
}

static void value_gone(void *value)
{
    CHECK(value != NULL);
    constructor_destructions++;
}

static void *body(void *argument)
{
    OK(pthread_setspecific(constructor_key, argument));
    OK(pthread_once(&once, run_once));
    SYS(sem_wait(&sem));
    OK(pthread_mutex_lock(&constructor_mutex));
    OK(pthread_rwlock_rdlock(&rwlock));
    OK(pthread_rwlock_unlock(&rwlock));
    CHECK_EQ(pthread_mutex_trylock(&constructor_held), EBUSY);
    runs++;
    OK(pthread_cond_signal(&cond));
    OK(pthread_mutex_unlock(&constructor_mutex));
    OK(pthread_mutex_lock(&robust));
    OK(pthread_mutex_unlock(&robust));
    return argument;
}

static void threads(void)
{
    pthread_t thread;
    void *result;

    SYS(sem_init(&sem, 0, 0));
    runs = 0;
    OK(pthread_mutex_lock(&constructor_mutex));
    OK(pthread_rwlock_wrlock(&rwlock));
    OK(pthread_once(&once, run_once));
    OK(pthread_create(&thread, NULL, body, &cond));
    OK(pthread_rwlock_unlock(&rwlock));
    SYS(sem_post(&sem));
    runs = 0;
    while (runs == 0) {
        OK(pthread_cond_wait(&cond, &constructor_mutex));
    }
    OK(pthread_mutex_unlock(&constructor_mutex));
    OK(pthread_join(thread, &result));
    CHECK(result == &cond);
    CHECK_EQ(runs, 1);
}

__attribute__((constructor)) static void load(void)
{
    pthread_mutexattr_t attr;

    constructor_main = pthread_self();
    OK(pthread_key_create(&constructor_key, value_gone));
    OK(pthread_setspecific(constructor_key, &constructor_key));
    OK(pthread_mutexattr_init(&attr));
    OK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
    OK(pthread_mutex_init(&robust, &attr));
    OK(pthread_mutex_lock(&robust));
    OK(pthread_mutex_unlock(&robust));
    OK(pthread_mutex_lock(&constructor_held));
    threads();
    constructor_ran = 1;
    constructor_destructions = 1;
}

__attribute__((destructor)) static void unload(void)
{
    OK(pthread_mutex_lock(&constructor_held));
    threads();
    OK(pthread_mutex_unlock(&constructor_held));
}
