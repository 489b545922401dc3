/*
 * What main did before it made its first thread still holds afterwards: locks are held and owned,
 * thread-specific data and signal mask are in place, identities and addresses are the same
 * (POSIX pthread_create).
 */
#include "check.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

static pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t checking = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static sem_t sem, done;
static FILE *file;
static __thread int local = 3;
static int once_runs;
static atomic_int passed;

static void initialise(void)
{
    once_runs++;
}

static void *body(void *argument)
{
    sigset_t set;

    CHECK(pthread_getspecific(key) == NULL);
    CHECK_EQ(local, 3);
    OK(pthread_once(&once, initialise));
    CHECK_EQ(once_runs, 1);
    OK(pthread_sigmask(SIG_BLOCK, NULL, &set));
    CHECK_EQ(sigismember(&set, SIGUSR1), 1);
    CHECK_EQ(pthread_mutex_trylock(&normal), EBUSY);
    CHECK_EQ(pthread_mutex_trylock(&recursive), EBUSY);
    CHECK_EQ(pthread_mutex_unlock(&recursive), EPERM);
    CHECK_EQ(pthread_mutex_trylock(&checking), EBUSY);
    CHECK_EQ(pthread_mutex_unlock(&checking), EPERM);
    CHECK_EQ(pthread_rwlock_tryrdlock(&rwlock), EBUSY);
    CHECK_EQ(pthread_spin_trylock(&spin), EBUSY);
    CHECK(ftrylockfile(file) != 0);
    SYS(sem_post(&done));

    SYS(sem_wait(&sem));
    OK(pthread_mutex_lock(&normal));
    OK(pthread_mutex_lock(&recursive));
    OK(pthread_mutex_lock(&checking));
    OK(pthread_rwlock_rdlock(&rwlock));
    CHECK(fputs("thread\n", file) >= 0);
    OK(pthread_mutex_unlock(&normal));
    OK(pthread_mutex_unlock(&recursive));
    OK(pthread_mutex_unlock(&checking));
    OK(pthread_rwlock_unlock(&rwlock));
    passed++;
    return argument;
}

int main(void)
{
    pthread_t threads[5], self = pthread_self();
    int *error = &errno, *mine = &local;
    pid_t tid = gettid();
    sigset_t set;

    watchdog();
    OK(pthread_mutex_lock(&normal));
    OK(pthread_mutex_lock(&recursive));
    OK(pthread_mutex_lock(&recursive));
    OK(pthread_mutex_lock(&checking));
    OK(pthread_rwlock_wrlock(&rwlock));
    OK(pthread_spin_init(&spin, 0));
    OK(pthread_spin_lock(&spin));
    OK(pthread_once(&once, initialise));
    OK(pthread_key_create(&key, NULL));
    OK(pthread_setspecific(key, &key));
    SYS(sem_init(&sem, 0, 0));
    SYS(sem_init(&done, 0, 0));
    SYS(sem_post(&sem));
    SYS(sem_post(&sem));
    file = tmpfile();
    CHECK(file != NULL);
    flockfile(file);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    local = 4;

    for (int i = 0; i < 5; i++) {
        threads[i] = start(body, NULL);
    }
    for (int i = 0; i < 5; i++) {
        SYS(sem_wait(&done));
    }
    nap(5);
    CHECK(pthread_equal(self, pthread_self()));
    CHECK_EQ(gettid(), tid);
    CHECK(error == &errno && mine == &local);
    CHECK_EQ(local, 4);
    CHECK(pthread_getspecific(key) == &key);
    CHECK_EQ(passed, 0);
    CHECK_EQ(pthread_mutex_lock(&checking), EDEADLK);
    CHECK_EQ(pthread_rwlock_rdlock(&rwlock), EDEADLK);
    OK(pthread_mutex_unlock(&normal));
    OK(pthread_mutex_unlock(&recursive));
    OK(pthread_mutex_unlock(&recursive));
    CHECK_EQ(pthread_mutex_unlock(&recursive), EPERM);
    OK(pthread_mutex_unlock(&checking));
    OK(pthread_rwlock_unlock(&rwlock));
    OK(pthread_spin_unlock(&spin));
    funlockfile(file);
    for (int i = 0; i < 3; i++) {
        SYS(sem_post(&sem));
    }
    for (int i = 0; i < 5; i++) {
        finish(threads[i]);
    }
    fclose(file);
    return 0;
}
