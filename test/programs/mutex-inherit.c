/*
 * Mutexes with priority inheritance of each type: exclusion among many threads, what is an error, deadlines,
 * condition variables, and one that the first thread holds while it makes the first other.
 */
#include "check.h"

enum { THREADS = 12, ROUNDS = 2000 };

static const int types[] = { PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
                             PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP };
static pthread_mutex_t mutex[4];
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long count[4];
static int turn;

static void *adds(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        int k = i % 4;

        OK(pthread_mutex_lock(&mutex[k]));
        long seen = count[k];
        if (i % 64 == 0) {
            sched_yield();
        }
        count[k] = seen + 1;
        OK(pthread_mutex_unlock(&mutex[k]));
    }
    return argument;
}

/* Another thread holds them all. */
static void *knocks(void *argument)
{
    for (int k = 0; k < 4; k++) {
        struct timespec t = from_now(CLOCK_MONOTONIC, 10), past = { 0, 0 }, wrong = { 0, -1 };

        CHECK_EQ(pthread_mutex_trylock(&mutex[k]), EBUSY);
        CHECK_EQ(pthread_mutex_clocklock(&mutex[k], CLOCK_MONOTONIC, &t), ETIMEDOUT);
        CHECK(reached(CLOCK_MONOTONIC, t));
        t = from_now(CLOCK_REALTIME, 10);
        CHECK_EQ(pthread_mutex_timedlock(&mutex[k], &t), ETIMEDOUT);
        CHECK(reached(CLOCK_REALTIME, t));
        CHECK_EQ(pthread_mutex_timedlock(&mutex[k], &past), ETIMEDOUT);
        CHECK_EQ(pthread_mutex_timedlock(&mutex[k], &wrong), EINVAL);
        CHECK_EQ(pthread_mutex_unlock(&mutex[k]), EPERM);
        CHECK_EQ(pthread_mutex_destroy(&mutex[k]), EBUSY);
    }
    return argument;
}

static void *takes_turns(void *argument)
{
    int mine = (int)(long)argument;

    OK(pthread_mutex_lock(&mutex[1]));
    for (int i = 0; i < 200; i++) {
        while (turn != mine) {
            OK(pthread_cond_wait(&cond, &mutex[1]));
        }
        turn = !mine;
        OK(pthread_cond_signal(&cond));
    }
    OK(pthread_mutex_unlock(&mutex[1]));
    CHECK_EQ(pthread_mutex_unlock(&mutex[1]), EPERM);
    return NULL;
}

static void relocks(void)
{
    struct timespec t = from_now(CLOCK_MONOTONIC, 10);

    CHECK_EQ(pthread_mutex_trylock(&mutex[0]), EBUSY);
    CHECK_EQ(pthread_mutex_clocklock(&mutex[0], CLOCK_MONOTONIC, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    OK(pthread_mutex_lock(&mutex[1]));
    OK(pthread_mutex_trylock(&mutex[1]));
    OK(pthread_mutex_unlock(&mutex[1]));
    OK(pthread_mutex_unlock(&mutex[1]));
    CHECK_EQ(pthread_mutex_lock(&mutex[2]), EDEADLK);
    CHECK(pthread_mutex_trylock(&mutex[2]) != 0);
}

static void *holds(void *argument)
{
    for (int k = 0; k < 4; k++) {
        OK(pthread_mutex_lock(&mutex[k]));
    }
    relocks();
    finish(start(knocks, NULL));
    for (int k = 0; k < 4; k++) {
        OK(pthread_mutex_unlock(&mutex[k]));
    }
    return argument;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];

    (void)argv;
    watchdog();
    for (int k = 0; k < 4; k++) {
        pthread_mutexattr_t attr;

        OK(pthread_mutexattr_init(&attr));
        OK(pthread_mutexattr_settype(&attr, types[k]));
        OK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
        OK(pthread_mutex_init(&mutex[k], &attr));
    }
    if (argc > 1) {
        holds(NULL); /* the first thread that it makes */
        return 0;
    }
    run_threads(THREADS, adds);
    for (int k = 0; k < 4; k++) {
        CHECK_EQ(count[k], (long)THREADS * ROUNDS / 4);
    }
    finish(start(holds, NULL));
    holds(NULL);
    threads[0] = start(takes_turns, (void *)0L);
    threads[1] = start(takes_turns, (void *)1L);
    finish(threads[0]);
    finish(threads[1]);
    for (int k = 0; k < 4; k++) {
        OK(pthread_mutex_destroy(&mutex[k]));
    }
    pid_t child = SYS(fork());
    if (child == 0) {
        execl("/proc/self/exe", "again", "held", NULL);
        _exit(126);
    }
    CHECK_EQ(reap(child), 0);
    return 0;
}
