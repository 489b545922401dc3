/* The pthread objects. Each keeps glibc's size, place of type and attributes, and static
 * initialisers; process-shared and robust ones are glibc's altogether (struct sync_real).
 *
 * All functions return 0 or -errno, may be called by fibers, bound and foreign threads, and block
 * only the calling thread. Deadlines are ns of CLOCK_MONOTONIC, TIMER_NEVER for none. */
#ifndef SYNC_SYNC_H
#define SYNC_SYNC_H

#include <pthread.h>
#include <semaphore.h>
#include "sync/waitq.h"

/* libc's own, for objects that are not ours to handle. The shim fills this. Positive results. */
struct sync_real {
    int (*mutex_lock)(pthread_mutex_t *);
    int (*mutex_trylock)(pthread_mutex_t *);
    int (*mutex_clocklock)(pthread_mutex_t *, clockid_t, const struct timespec *);
    int (*mutex_unlock)(pthread_mutex_t *);
};
extern struct sync_real sync_real;

/* ---- mutex: POSIX pthread_mutex_lock(3) and friends ---- */
struct mutex {
    _Atomic uint32_t lock;  /* 0 free, 1 held, 2 held and somebody may wait (glibc's values) */
    uint32_t count;         /* recursion */
    _Atomic uint32_t owner; /* tid */
    uint32_t users;         /* glibc's, unused by us */
    int32_t kind;
};
#define MUTEX_TYPE       3
#define MUTEX_PROTOCOL   (32 | 64)                 /* priority inheritance, ceiling */
#define MUTEX_LIBC       (16 | 128)                /* robust, process-shared */
#define MUTEX_NOT_NORMAL (MUTEX_TYPE | MUTEX_LIBC) /* ignoring elision and protocol bits */

int mutex_lock_slow(struct mutex *m, uint64_t deadline);
int mutex_unlock_slow(struct mutex *m);
int mutex_trylock(struct mutex *m);

static inline int mutex_lock(struct mutex *m)
{
    struct fiber *self = fiber_self;
    uint32_t free = 0;
    if (likely(!(m->kind & MUTEX_NOT_NORMAL) && self && cas_acquire(&m->lock, &free, 1))) {
        store_relaxed(&m->owner, self->tid);
        return 0;
    }
    return mutex_lock_slow(m, TIMER_NEVER);
}

static inline int mutex_unlock(struct mutex *m)
{
    uint32_t held = 1;
    if (likely(!(m->kind & MUTEX_NOT_NORMAL))) {
        store_relaxed(&m->owner, 0);
        if (likely(cas_release(&m->lock, &held, 0))) /* partner: the next locker's acquire */
            return 0;
    }
    return mutex_unlock_slow(m);
}

/* ---- condition variable: pthread_cond_wait(3) ---- */
struct cond {
    _Atomic uint32_t waiters;
    uint32_t unused[8];
    uint32_t flags; /* where glibc keeps them: 1 process-shared, 2 CLOCK_MONOTONIC */
};
#define COND_SHARED    1u
#define COND_MONOTONIC 2u
/* -EINTR with the mutex locked: interrupted, a spurious wake-up to the program. */
int cond_wait(struct cond *c, struct mutex *m, uint64_t deadline);
int cond_wake(struct cond *c, int n);

/* ---- read-write lock: pthread_rwlock_rdlock(3) ---- */
struct rwlock {
    _Atomic uint32_t state; /* RW_ bits and the number of readers */
    _Atomic uint32_t writers_waiting;
    uint32_t unused[4];
    _Atomic uint32_t owner; /* tid of the writer, where glibc keeps it */
    uint32_t shared;        /* process-shared: glibc's */
    uint32_t pad[4];
    uint32_t kind;
};
int rwlock_read(struct rwlock *l, uint64_t deadline);
int rwlock_write(struct rwlock *l, uint64_t deadline);
int rwlock_try_read(struct rwlock *l);
int rwlock_try_write(struct rwlock *l);
int rwlock_unlock(struct rwlock *l);

/* ---- semaphore: sem_wait(3) ---- */
struct sem {
    _Atomic uint64_t data; /* value in the low, waiters in the high half (glibc's layout) */
    uint32_t shared;
};
int sem_take(struct sem *s, uint64_t deadline);
int sem_try(struct sem *s);
int sem_give(struct sem *s);

/* ---- barrier, once, spin ---- */
struct barrier {
    _Atomic uint32_t in;
    uint32_t round, count, shared;
};
/* 1 for the serial thread, else 0. */
int barrier_wait(struct barrier *b);
int once_run(_Atomic uint32_t *control, void (*init)(void));
int spin_acquire(_Atomic int *s);
int spin_try(_Atomic int *s);
int spin_release(_Atomic int *s);

#endif
