/* Objects that are destroyed as soon as POSIX allows: whoever is last unmaps the memory while the
 * other thread is still on its way out of unlock, signal or post. A late touch is a fault. */
#include "test/unit/sync/common.h"
#include <errno.h>
#include <limits.h>
#include <sys/mman.h>

TestSuite(destroy, .init = sync_init, .description = "a crash is a touch after destruction");

#define PAGE 4096ul
enum { OBJECTS = 10000 };

/* Each object has a page of its own, which is never used again. */
struct object {
    struct mutex mutex;
    struct cond cond;
    struct rwlock rwlock;
    struct sem sem;
    struct barrier barrier;
    int users, ready;
};

static char *pages;
static _Atomic int at[2]; /* how many objects each player has begun */
/* Uses the object as player 0 or 1. True: nobody else will, destroy it. */
static bool (*use)(struct object *o, int player);

static struct object *object(int i)
{
    return (struct object *)(pages + (size_t)i * PAGE);
}

static void *play(void *arg)
{
    int player = (int)(intptr_t)arg;
    uint32_t random = (uint32_t)player + 1;

    for (int i = 0; i < ROUNDS(OBJECTS); i++) {
        store_seq(&at[player], i + 1);
        /* Both at once, as nearly as two CPUs can; alternating who is a little earlier. */
        for (int n = 0; load_seq(&at[!player]) <= i; n++)
            if (n > 1000)
                sched_yield();
        for (uint32_t n = next_random(&random) % 64; n > 0; n--)
            fence_compiler();
        if (use(object(i), player))
            check(mprotect(object(i), PAGE, PROT_NONE) == 0);
    }
    return NULL;
}

static void test_destroy(bool (*use_it)(struct object *, int), int mutex_kind)
{
    use = use_it;
    pages = mmap(NULL, OBJECTS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(pages, MAP_FAILED);
    for (int i = 0; i < OBJECTS; i++) {
        object(i)->users = 2;
        object(i)->barrier.count = 2;
        object(i)->mutex.kind = mutex_kind;
    }
    run_threads(2, play);
}

static bool use_mutex(struct object *o, int player)
{
    bool last;

    (void)player;
    check(mutex_lock(&o->mutex) == 0);
    last = --o->users == 0;
    check(mutex_unlock(&o->mutex) == 0);
    return last;
}

Test(destroy, a_mutex)
{
    test_destroy(use_mutex, PTHREAD_MUTEX_NORMAL);
}

Test(destroy, a_recursive_mutex)
{
    test_destroy(use_mutex, PTHREAD_MUTEX_RECURSIVE);
}

/* The waiter destroys the condition variable (and the mutex) once it was told. */
static bool use_cond(struct object *o, int player)
{
    check(mutex_lock(&o->mutex) == 0);
    if (player == 0) {
        while (!o->ready)
            check(cond_wait(&o->cond, &o->mutex, TIMER_NEVER) == 0);
        check(mutex_unlock(&o->mutex) == 0);
        return true;
    }
    o->ready = 1;
    cond_wake(&o->cond, INT_MAX);
    check(mutex_unlock(&o->mutex) == 0);
    return false;
}

Test(destroy, a_condition_variable)
{
    test_destroy(use_cond, PTHREAD_MUTEX_NORMAL);
}

static bool use_rwlock(struct object *o, int player)
{
    bool last;

    (void)player;
    check(rwlock_write(&o->rwlock, TIMER_NEVER) == 0);
    last = --o->users == 0;
    check(rwlock_unlock(&o->rwlock) == 0);
    return last;
}

Test(destroy, a_read_write_lock)
{
    test_destroy(use_rwlock, PTHREAD_MUTEX_NORMAL);
}

static bool use_sem(struct object *o, int player)
{
    if (player == 1) {
        check(sem_give(&o->sem) == 0);
        return false;
    }
    check(sem_take(&o->sem, TIMER_NEVER) == 0);
    return true;
}

Test(destroy, a_semaphore)
{
    test_destroy(use_sem, PTHREAD_MUTEX_NORMAL);
}

static bool use_barrier(struct object *o, int player)
{
    (void)player;
    return barrier_wait(&o->barrier) == 1;
}

Test(destroy, a_barrier)
{
    test_destroy(use_barrier, PTHREAD_MUTEX_NORMAL);
}

/* Whoever is not the serial thread may be the first to return. */
static bool use_barrier_late(struct object *o, int player)
{
    (void)player;
    return barrier_wait(&o->barrier) == 0;
}

Test(destroy, a_barrier_by_a_waiter)
{
    test_destroy(use_barrier_late, PTHREAD_MUTEX_NORMAL);
}
