/*
 * Locks that pthread_atfork handlers take before and give back after fork, in both processes, while
 * threads compete for them and others sleep: what they protect is whole in every child.
 */
#include "check.h"

#include <stdatomic.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static long left, right, readers_saw;
static atomic_int stop;

static void prepare(void)
{
    pthread_mutex_lock(&mutex);
    pthread_rwlock_wrlock(&lock);
}

static void after(void)
{
    pthread_rwlock_unlock(&lock);
    pthread_mutex_unlock(&mutex);
}

static void *moves(void *argument)
{
    while (!stop) {
        pthread_mutex_lock(&mutex);
        pthread_rwlock_wrlock(&lock);
        left++;
        if (left % 8 == 0) {
            usleep(20);
        }
        right++;
        pthread_rwlock_unlock(&lock);
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}

static void *looks(void *argument)
{
    while (!stop) {
        pthread_rwlock_rdlock(&lock);
        CHECK_EQ(left, right);
        __atomic_fetch_add(&readers_saw, 1, __ATOMIC_RELAXED);
        pthread_rwlock_unlock(&lock);
        usleep(100);
    }
    return argument;
}

static void *forks(void *argument)
{
    for (int i = 0; i < 20; i++) {
        pid_t child = SYS(fork());

        if (child == 0) {
            watchdog();
            CHECK_EQ(left, right);
            OK(pthread_mutex_trylock(&mutex));
            pthread_mutex_unlock(&mutex);
            _exit(4);
        }
        int status = reap(child);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 4);
    }
    return argument;
}

int main(void)
{
    pthread_t movers[3], lookers[3], forkers[2];

    watchdog();
    OK(pthread_atfork(prepare, after, after));
    for (int i = 0; i < 3; i++) {
        movers[i] = start(moves, NULL);
        lookers[i] = start(looks, NULL);
    }
    for (int i = 0; i < 2; i++) {
        forkers[i] = start(forks, NULL);
    }
    for (int i = 0; i < 2; i++) {
        finish(forkers[i]);
    }
    stop = 1;
    for (int i = 0; i < 3; i++) {
        finish(movers[i]);
        finish(lookers[i]);
    }
    return 0;
}
