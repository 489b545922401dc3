/* A mutex between processes that is robust and asked for priority inheritance, as apache's children have one:
 * it can be had, excludes, and a child that dies with it leaves it to the next. */
#include "check.h"
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 3, THREADS = 4, ROUNDS = 500 };

static struct shared {
    pthread_mutex_t mutex;
    long plain;
} * shared;

static void lock(void)
{
    int err = pthread_mutex_lock(&shared->mutex);

    if (err == EOWNERDEAD)
        err = pthread_mutex_consistent(&shared->mutex);
    CHECK(err == 0);
}

static void *count(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        lock();
        shared->plain++;
        CHECK(pthread_mutex_unlock(&shared->mutex) == 0);
    }
    return arg;
}

static void child(void)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, count, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    _exit(0);
}

static void die_with_it(void)
{
    lock();
    _exit(7);
}

static int run(void (*body)(void))
{
    int status = -1;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (!pid)
        body();
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void)
{
    pthread_mutexattr_t attr;
    pthread_t thread;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    CHECK(pthread_mutexattr_init(&attr) == 0);
    CHECK(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
    CHECK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT) == 0);
    CHECK(pthread_mutex_init(&shared->mutex, &attr) == 0);

    for (int i = 0; i < CHILDREN; i++) {
        CHECK(run(die_with_it) == 7);
        CHECK(run(child) == 0);
    }
    CHECK(run(die_with_it) == 7);
    CHECK(pthread_create(&thread, NULL, count, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(shared->plain == (CHILDREN * THREADS + 1) * ROUNDS);
    CHECK(pthread_mutex_destroy(&shared->mutex) == 0);
    return 0;
}
