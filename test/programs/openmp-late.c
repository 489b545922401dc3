/*
 * The OpenMP library is opened while threads run. Threads that wait for its lock get it one after the other,
 * its teams meet at barriers, and closing and opening it again changes nothing.
 *
 * With the argument "count" the kernel threads that wait for the lock are counted (test/deep.py).
 */
#include "check.h"
#include "kernel-threads.h"

#include <dlfcn.h>
#include <semaphore.h>
#include <stdatomic.h>

#define WAITERS 60
#define TEAM    12
#define ROUNDS  20

static void *lock[4]; /* room for an omp_lock_t */
static void (*init_lock)(void *), (*set_lock)(void *), (*unset_lock)(void *);
static void (*parallel)(void (*)(void *), void *, unsigned, unsigned), (*barrier)(void);
static sem_t waiting;
static int inside, entered;
static atomic_int arrived, wrong;

static void *symbol(void *library, const char *name)
{
    void *found = dlsym(library, name);

    CHECK(found != NULL);
    return found;
}

static void *open_it(void)
{
    void *library = dlopen("libgomp.so.1", RTLD_NOW | RTLD_LOCAL);

    if (!library) {
        SKIP("no libgomp.so.1");
    }
    init_lock = symbol(library, "omp_init_lock");
    set_lock = symbol(library, "omp_set_lock");
    unset_lock = symbol(library, "omp_unset_lock");
    parallel = symbol(library, "GOMP_parallel");
    barrier = symbol(library, "GOMP_barrier");
    return library;
}

static void *waits(void *argument)
{
    sem_post(&waiting);
    for (int i = 0; i < ROUNDS; i++) {
        set_lock(lock);
        CHECK_EQ(inside++, 0);
        if (i % 8 == 0) {
            sched_yield();
        }
        inside--;
        entered++;
        unset_lock(lock);
    }
    return argument;
}

static void team(void *argument)
{
    (void)argument;
    for (int i = 1; i <= ROUNDS; i++) {
        atomic_fetch_add(&arrived, 1);
        barrier();
        if (atomic_load(&arrived) != i * TEAM) {
            atomic_store(&wrong, 1);
        }
        barrier();
    }
}

static void *sleeps(void *argument)
{
    sem_t *end = argument;

    while (sem_wait(end) < 0) {
        CHECK_EQ(errno, EINTR);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[WAITERS], early;
    sem_t end;

    watchdog();
    setenv("OMP_WAIT_POLICY", "PASSIVE", 1);
    sem_init(&end, 0, 0);
    sem_init(&waiting, 0, 0);
    early = start(sleeps, &end);
    void *library = open_it();

    dlclose(library);
    open_it();
    init_lock(lock);
    set_lock(lock);
    for (int i = 0; i < WAITERS; i++) {
        threads[i] = start(waits, NULL);
    }
    for (int i = 0; i < WAITERS; i++) {
        sem_wait(&waiting);
    }
    nap(200);
    if (argc > 1 && strcmp(argv[1], "count") == 0) {
        printf("%d\n", kernel_threads());
    }
    CHECK_EQ(entered, 0);
    unset_lock(lock);
    for (int i = 0; i < WAITERS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(entered, WAITERS * ROUNDS);
    parallel(team, NULL, TEAM, 0);
    CHECK_EQ(wrong, 0);
    CHECK_EQ(arrived, TEAM * ROUNDS);
    sem_post(&end);
    finish(early);
    return 0;
}
