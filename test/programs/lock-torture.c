/*
 * Every kind of lock at once, under 64 threads, 4 that ask for a real-time policy or a processor of their
 * own, and 2 that libc makes by itself (SIGEV_THREAD). Each lock guards a counter that two at a time would
 * spoil. Argument: seconds, 2 if none is given.
 */
#include "check.h"

#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { THREADS = 64, BOUND = 4, FOREIGN = 2, MUTEXES = 14, RWLOCKS = 4 };

struct guarded {
    long a, b;
};

static struct {
    pthread_mutex_t mutex[MUTEXES];
    struct guarded by_mutex[MUTEXES];
    pthread_rwlock_t rwlock[RWLOCKS];
    struct guarded by_rwlock[RWLOCKS];
    pthread_spinlock_t spin;
    struct guarded by_spin;
    sem_t sem[2];
    struct guarded by_sem[2];
    unsigned futex[2];
    struct guarded by_futex[2];
    pthread_mutex_t queue_mutex[2];
    pthread_cond_t queue_cond[2];
    int queue[2];
} * s;

static int stop, foreign_running;
static long operations;

static void touch(struct guarded *g, unsigned *seed)
{
    CHECK_EQ(g->a, g->b);
    long seen = ++g->a;
    if (rand_r(seed) % 16 == 0) {
        sched_yield();
    }
    CHECK_EQ(g->a, seen);
    g->b++;
}

/* Ulrich Drepper's third mutex. */
static void futex_lock(unsigned *word, int private)
{
    unsigned c = 0;

    if (__atomic_compare_exchange_n(word, &c, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return;
    }
    while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE)) {
        syscall(SYS_futex, word, FUTEX_WAIT | private, 2, NULL, NULL, 0);
    }
}

static void futex_unlock(unsigned *word, int private)
{
    if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2) {
        syscall(SYS_futex, word, FUTEX_WAKE | private, 1, NULL, NULL, 0);
    }
}

static void one(unsigned *seed)
{
    struct timespec t = from_now(CLOCK_MONOTONIC, rand_r(seed) % 4);
    int i, how = rand_r(seed) % 4;

    switch (rand_r(seed) % 6) {
    case 0:
    case 1:
        i = rand_r(seed) % MUTEXES;
        if (how == 0 && pthread_mutex_trylock(&s->mutex[i])) {
            return;
        }
        if (how == 1 && pthread_mutex_clocklock(&s->mutex[i], CLOCK_MONOTONIC, &t)) {
            return;
        }
        if (how > 1) {
            OK(pthread_mutex_lock(&s->mutex[i]));
        }
        touch(&s->by_mutex[i], seed);
        OK(pthread_mutex_unlock(&s->mutex[i]));
        return;
    case 2:
        i = rand_r(seed) % RWLOCKS;
        if (how == 0) {
            if (pthread_rwlock_clockwrlock(&s->rwlock[i], CLOCK_MONOTONIC, &t)) {
                return;
            }
            touch(&s->by_rwlock[i], seed);
        } else if (how == 1) {
            OK(pthread_rwlock_wrlock(&s->rwlock[i]));
            touch(&s->by_rwlock[i], seed);
        } else {
            if (how == 2) {
                OK(pthread_rwlock_rdlock(&s->rwlock[i]));
            } else if (pthread_rwlock_tryrdlock(&s->rwlock[i])) {
                return;
            }
            CHECK_EQ(s->by_rwlock[i].a, s->by_rwlock[i].b);
        }
        OK(pthread_rwlock_unlock(&s->rwlock[i]));
        return;
    case 3:
        i = rand_r(seed) % 2;
        if (how == 0) {
            OK(pthread_spin_lock(&s->spin));
            touch(&s->by_spin, seed);
            OK(pthread_spin_unlock(&s->spin));
            return;
        }
        if (how == 1) {
            if (sem_clockwait(&s->sem[i], CLOCK_MONOTONIC, &t) < 0) {
                return;
            }
        } else {
            while (sem_wait(&s->sem[i]) < 0) {
                CHECK_EQ(errno, EINTR);
            }
        }
        touch(&s->by_sem[i], seed);
        SYS(sem_post(&s->sem[i]));
        return;
    case 4:
        i = rand_r(seed) % 2;
        futex_lock(&s->futex[i], i ? FUTEX_PRIVATE_FLAG : 0);
        touch(&s->by_futex[i], seed);
        futex_unlock(&s->futex[i], i ? FUTEX_PRIVATE_FLAG : 0);
        return;
    case 5:
        i = rand_r(seed) % 2;
        OK(pthread_mutex_lock(&s->queue_mutex[i]));
        if (how < 2) {
            s->queue[i]++;
            OK(how ? pthread_cond_signal(&s->queue_cond[i])
                   : pthread_cond_broadcast(&s->queue_cond[i]));
        } else {
            while (s->queue[i] == 0 &&
                   !pthread_cond_clockwait(&s->queue_cond[i], &s->queue_mutex[i], CLOCK_MONOTONIC,
                                           &t)) {
            }
            s->queue[i] -= s->queue[i] > 0;
        }
        OK(pthread_mutex_unlock(&s->queue_mutex[i]));
    }
}

static void *body(void *argument)
{
    unsigned seed = (unsigned)(long)argument;
    long n = 0;

    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        one(&seed);
        n++;
    }
    __atomic_add_fetch(&operations, n, __ATOMIC_RELAXED);
    return NULL;
}

static void foreign(union sigval value)
{
    __atomic_add_fetch(&foreign_running, 1, __ATOMIC_SEQ_CST);
    body((void *)(long)(1000 + value.sival_int));
    __atomic_sub_fetch(&foreign_running, 1, __ATOMIC_SEQ_CST);
}

static pthread_t start_bound(long i)
{
    struct sched_param param = { .sched_priority = 1 };
    pthread_attr_t attr;
    pthread_t thread;

    OK(pthread_attr_init(&attr));
    OK(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED));
    OK(pthread_attr_setschedpolicy(&attr, SCHED_RR));
    OK(pthread_attr_setschedparam(&attr, &param));
    if (i % 2 == 0 || pthread_create(&thread, &attr, body, (void *)(500 + i))) {
        thread = start(body, (void *)(500 + i));
        cpu_set_t cpus;
        if (!pthread_getaffinity_np(thread, sizeof(cpus), &cpus)) {
            pthread_setaffinity_np(thread, sizeof(cpus), &cpus);
        }
    }
    return thread;
}

static void init(void)
{
    static const int types[] = { PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
                                 PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP };

    for (int i = 0; i < MUTEXES; i++) {
        pthread_mutexattr_t attr;

        OK(pthread_mutexattr_init(&attr));
        OK(pthread_mutexattr_settype(&attr, types[i % 4]));
        OK(pthread_mutexattr_setpshared(&attr, i / 4 % 2));
        OK(pthread_mutexattr_setrobust(&attr,
                                       i / 8 ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED));
        if (i >= 12) {
            OK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
            OK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_STALLED));
            OK(pthread_mutexattr_setpshared(&attr, 0));
        }
        OK(pthread_mutex_init(&s->mutex[i], &attr));
    }
    for (int i = 0; i < RWLOCKS; i++) {
        pthread_rwlockattr_t attr;

        OK(pthread_rwlockattr_init(&attr));
        OK(pthread_rwlockattr_setpshared(&attr, i % 2));
        OK(pthread_rwlockattr_setkind_np(&attr, i / 2 ? PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP
                                                      : PTHREAD_RWLOCK_PREFER_READER_NP));
        OK(pthread_rwlock_init(&s->rwlock[i], &attr));
    }
    OK(pthread_spin_init(&s->spin, 0));
    for (int i = 0; i < 2; i++) {
        pthread_mutexattr_t mutex;
        pthread_condattr_t cond;

        SYS(sem_init(&s->sem[i], i, 1));
        OK(pthread_mutexattr_init(&mutex));
        OK(pthread_mutexattr_setpshared(&mutex, i));
        OK(pthread_mutex_init(&s->queue_mutex[i], &mutex));
        OK(pthread_condattr_init(&cond));
        OK(pthread_condattr_setpshared(&cond, i));
        OK(pthread_cond_init(&s->queue_cond[i], &cond));
    }
}

int main(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : 2;
    pthread_t threads[THREADS + BOUND];

    alarm((unsigned)seconds + 60);
    s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(s != MAP_FAILED);
    init();
    for (long i = 0; i < THREADS; i++) {
        threads[i] = start(body, (void *)i);
    }
    for (long i = 0; i < BOUND; i++) {
        threads[THREADS + i] = start_bound(i);
    }
    for (int i = 0; i < FOREIGN; i++) {
        struct sigevent event = { .sigev_notify = SIGEV_THREAD,
                                  .sigev_notify_function = foreign,
                                  .sigev_value.sival_int = i };
        struct itimerspec now = { { 0, 0 }, { 0, 1 } };
        timer_t timer;

        SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
        SYS(timer_settime(timer, 0, &now, NULL));
    }
    nap(seconds * 1000L);
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < THREADS + BOUND; i++) {
        finish(threads[i]);
    }
    while (__atomic_load_n(&foreign_running, __ATOMIC_SEQ_CST)) {
        nap(1);
    }
    CHECK(operations > 0);
    for (int i = 0; i < MUTEXES; i++) {
        CHECK_EQ(s->by_mutex[i].a, s->by_mutex[i].b);
        OK(pthread_mutex_destroy(&s->mutex[i]));
    }
    if (argc > 1) {
        dprintf(2, "%ld operations\n", operations);
    }
    return 0;
}
