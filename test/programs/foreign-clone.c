/*
 * Threads made by clone(2) alone, with a block of thread-local storage from ld.so, use locks and
 * semaphores together with the program's threads.
 *
 * Who makes threads like this has to fill in what libc's locks look at: the thread's id, by which a
 * read-write lock knows its writer (0 would be that of a lock that nobody holds). The kernel stores it
 * before the thread runs.
 */
#include "check.h"

#include <dlfcn.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define ROUNDS 2000
#define STACK  (256 * 1024)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t ping, pong;
static long counter, other;
static _Atomic int tids[2];
static _Thread_local int local = 3;

static void rounds(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        OK(pthread_mutex_lock(&mutex));
        counter++;
        OK(pthread_mutex_unlock(&mutex));
        OK(pthread_rwlock_wrlock(&rwlock));
        other++;
        OK(pthread_rwlock_unlock(&rwlock));
    }
}

static int cloned(void *argument)
{
    (void)argument;
    local++;
    rounds();
    for (int i = 0; i < ROUNDS / 4; i++) {
        while (sem_wait(&ping) < 0) {
        }
        sem_post(&pong);
    }
    syscall(SYS_exit, local == 4 ? 0 : 1); /* this thread only */
    return 0;
}

static void *threads(void *argument)
{
    (void)argument;
    rounds();
    for (int i = 0; i < ROUNDS / 4; i++) {
        sem_post(&ping);
        while (sem_wait(&pong) < 0) {
        }
    }
    return NULL;
}

int main(void)
{
    void *(*allocate)(void *) = (void *(*)(void *))dlvsym(RTLD_DEFAULT, "_dl_allocate_tls",
                                                          "GLIBC_PRIVATE");
    /* Size in bits, number of elements and offset of the field, for debuggers. */
    const uint32_t *tid = (const uint32_t *)dlvsym(RTLD_DEFAULT, "_thread_db_pthread_tid",
                                                   "GLIBC_PRIVATE");
    pthread_t t[2];

    watchdog();
#ifndef __x86_64__
    SKIP("the thread pointer is set up for x86-64");
#endif
    if (!allocate || !tid) {
        SKIP("no thread-local storage to be had");
    }
    SYS(sem_init(&ping, 0, 0));
    SYS(sem_init(&pong, 0, 0));
    for (int i = 0; i < 2; i++) {
        t[i] = start(threads, NULL);
    }
    for (int i = 0; i < 2; i++) {
        uintptr_t *tls = allocate(NULL);
        char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        CHECK(tls && stack != MAP_FAILED);
        tls[0] = tls[2] = (uintptr_t)tls;
        tids[i] = -1;
        SYS(clone(cloned, stack + STACK,
                  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                      CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
                  NULL, (char *)tls + tid[2], tls, &tids[i]));
    }
    for (int i = 0; i < 2; i++) {
        finish(t[i]);
    }
    for (int i = 0; i < 2; i++) {
        while (atomic_load(&tids[i]) != 0) {
            nap(1);
        }
    }
    CHECK_EQ(counter, 4 * ROUNDS);
    CHECK_EQ(other, 4 * ROUNDS);
    return 0;
}
