/* The pthread objects and their C11 twins: conventions here, the work in lib/sync.
 *
 * Ours whether or not the runtime is active, so that an object keeps one owner from the first lock
 * before any thread exists to the last unlock; process-shared objects are libc's. Positive error
 * codes are returned (sem_*: errno). Called on the program's stacks. */
#include "shim/calls.h"

#include <string.h>
#include "sync/sync.h"

/* A timed call's deadline; false: invalid time. */
#define DEADLINE(clock, abstime, deadline)                                                         \
    uint64_t deadline;                                                                             \
    if (((clock) != CLOCK_REALTIME && (clock) != CLOCK_MONOTONIC) ||                               \
        !deadline_from((clock), (abstime), &deadline))                                             \
    return EINVAL

/* ---- mutex ---- */

/* Priority protocols need kernel threads of different priorities, which fibers are not: a mutex with
 * one is made as a plain one, in shared memory too, so that both sides of it agree. */
EXPORT int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    int err = REAL(pthread_mutex_init)(mutex, attr);
    struct mutex *m = (struct mutex *)mutex;
    if (!err && runtime_mode != RUNTIME_DIRECT && (m->kind & MUTEX_PROTOCOL)) {
        m->kind &= ~MUTEX_PROTOCOL;
        store_relaxed(&m->lock, 0);
    }
    return err;
}

EXPORT int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    return -mutex_lock((struct mutex *)mutex);
}

EXPORT int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    return -mutex_trylock((struct mutex *)mutex);
}

EXPORT int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock,
                                   const struct timespec *abstime)
{
    struct mutex *m = (struct mutex *)mutex;
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return EINVAL;
    if (m->kind & MUTEX_LIBC)
        return REAL(pthread_mutex_clocklock)(mutex, clock, abstime);
    /* A mutex that is free, or relocked, is had whatever the time says. */
    int err = mutex_trylock(m);
    if (err != -EBUSY)
        return -err;
    DEADLINE(clock, abstime, deadline);
    return -mutex_lock_slow(m, deadline);
}

EXPORT int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *abstime)
{
    return pthread_mutex_clocklock(mutex, CLOCK_REALTIME, abstime);
}

EXPORT int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    return -mutex_unlock((struct mutex *)mutex);
}

EXPORT int pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    struct mutex *m = (struct mutex *)mutex;
    if (m->kind & MUTEX_LIBC)
        return REAL(pthread_mutex_destroy)(mutex);
    if (load_relaxed(&m->lock))
        return EBUSY;
    m->kind = -1 & ~MUTEX_LIBC; /* as glibc: further use is an error of the program */
    return 0;
}

static int to_thrd(int err)
{
    switch (err) {
    case 0:
        return thrd_success;
    case ENOMEM:
        return thrd_nomem;
    case ETIMEDOUT:
        return thrd_timedout;
    case EBUSY:
        return thrd_busy;
    default:
        return thrd_error;
    }
}

EXPORT int mtx_lock(mtx_t *mutex)
{
    return to_thrd(pthread_mutex_lock((pthread_mutex_t *)mutex));
}

EXPORT int mtx_trylock(mtx_t *mutex)
{
    return to_thrd(pthread_mutex_trylock((pthread_mutex_t *)mutex));
}

EXPORT int mtx_timedlock(mtx_t *mutex, const struct timespec *abstime)
{
    return to_thrd(pthread_mutex_timedlock((pthread_mutex_t *)mutex, abstime));
}

EXPORT int mtx_unlock(mtx_t *mutex)
{
    return to_thrd(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}

/* ---- condition variable ---- */

EXPORT int pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
    int shared = 0;
    clockid_t clock = CLOCK_REALTIME;
    if (attr) {
        pthread_condattr_getpshared(attr, &shared);
        pthread_condattr_getclock(attr, &clock);
    }
    if (shared)
        return REAL(pthread_cond_init)(cond, attr);
    memset(cond, 0, sizeof *cond);
    ((struct cond *)cond)->flags = clock == CLOCK_MONOTONIC ? COND_MONOTONIC : 0;
    return 0;
}

static bool cond_is_libc(pthread_cond_t *cond)
{
    return ((struct cond *)cond)->flags & COND_SHARED;
}

EXPORT int pthread_cond_destroy(pthread_cond_t *cond)
{
    return cond_is_libc(cond) ? REAL(pthread_cond_destroy)(cond) : 0;
}

/* A cancellation point: acted upon before the wait, or with the mutex locked again. */
static int cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline)
{
    struct fiber *self = fiber_at_cancel_point();
    int err = cond_wait((struct cond *)cond, (struct mutex *)mutex, deadline);
    if (unlikely(err == -EINTR)) {
        cancel_point(self);
        err = 0;
    }
    return -err;
}

EXPORT int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    if (unlikely(cond_is_libc(cond)))
        return REAL(pthread_cond_wait)(cond, mutex);
    return cond_wait_until(cond, mutex, TIMER_NEVER);
}

EXPORT int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                                  const struct timespec *abstime)
{
    if (unlikely(cond_is_libc(cond)))
        return REAL(pthread_cond_clockwait)(cond, mutex, clock, abstime);
    DEADLINE(clock, abstime, deadline);
    return cond_wait_until(cond, mutex, deadline);
}

EXPORT int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *abstime)
{
    if (unlikely(cond_is_libc(cond)))
        return REAL(pthread_cond_timedwait)(cond, mutex, abstime);
    clockid_t clock = ((struct cond *)cond)->flags & COND_MONOTONIC ? CLOCK_MONOTONIC
                                                                    : CLOCK_REALTIME;
    return pthread_cond_clockwait(cond, mutex, clock, abstime);
}

EXPORT int pthread_cond_signal(pthread_cond_t *cond)
{
    return cond_is_libc(cond) ? REAL(pthread_cond_signal)(cond)
                              : -cond_wake((struct cond *)cond, 1);
}

EXPORT int pthread_cond_broadcast(pthread_cond_t *cond)
{
    return cond_is_libc(cond) ? REAL(pthread_cond_broadcast)(cond)
                              : -cond_wake((struct cond *)cond, INT32_MAX);
}

EXPORT int cnd_init(cnd_t *cond)
{
    return to_thrd(pthread_cond_init((pthread_cond_t *)cond, NULL));
}

EXPORT void cnd_destroy(cnd_t *cond)
{
    pthread_cond_destroy((pthread_cond_t *)cond);
}

EXPORT int cnd_wait(cnd_t *cond, mtx_t *mutex)
{
    return to_thrd(pthread_cond_wait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex));
}

EXPORT int cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *abstime)
{
    return to_thrd(
        pthread_cond_timedwait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, abstime));
}

EXPORT int cnd_signal(cnd_t *cond)
{
    return to_thrd(pthread_cond_signal((pthread_cond_t *)cond));
}

EXPORT int cnd_broadcast(cnd_t *cond)
{
    return to_thrd(pthread_cond_broadcast((pthread_cond_t *)cond));
}

/* ---- read-write lock ---- */

static bool rwlock_is_libc(pthread_rwlock_t *lock)
{
    return ((struct rwlock *)lock)->shared != 0;
}

EXPORT int pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attr)
{
    int shared = 0, kind = PTHREAD_RWLOCK_DEFAULT_NP;
    if (attr) {
        pthread_rwlockattr_getpshared(attr, &shared);
        pthread_rwlockattr_getkind_np(attr, &kind);
    }
    if (shared)
        return REAL(pthread_rwlock_init)(lock, attr);
    memset(lock, 0, sizeof *lock);
    ((struct rwlock *)lock)->kind = (uint32_t)kind;
    return 0;
}

EXPORT int pthread_rwlock_destroy(pthread_rwlock_t *lock)
{
    return rwlock_is_libc(lock) ? REAL(pthread_rwlock_destroy)(lock) : 0;
}

#define RWLOCK(name, call)                                                                         \
    EXPORT int pthread_rwlock_##name(pthread_rwlock_t *lock)                                       \
    {                                                                                              \
        if (unlikely(rwlock_is_libc(lock)))                                                        \
            return REAL(pthread_rwlock_##name)(lock);                                              \
        struct rwlock *l = (struct rwlock *)lock;                                                  \
        return -(call);                                                                            \
    }
RWLOCK(rdlock, rwlock_read(l, TIMER_NEVER))
RWLOCK(wrlock, rwlock_write(l, TIMER_NEVER))
RWLOCK(tryrdlock, rwlock_try_read(l))
RWLOCK(trywrlock, rwlock_try_write(l))
RWLOCK(unlock, rwlock_unlock(l))

#define RWLOCK_TIMED(op, try, lock_it)                                                             \
    EXPORT int pthread_rwlock_clock##op(pthread_rwlock_t *lock, clockid_t clock,                   \
                                        const struct timespec *abstime)                            \
    {                                                                                              \
        if (unlikely(rwlock_is_libc(lock)))                                                        \
            return REAL(pthread_rwlock_clock##op)(lock, clock, abstime);                           \
        int err = try((struct rwlock *)lock);                                                      \
        if (err != -EBUSY)                                                                         \
            return -err;                                                                           \
        DEADLINE(clock, abstime, deadline);                                                        \
        return -lock_it((struct rwlock *)lock, deadline);                                          \
    }                                                                                              \
    EXPORT int pthread_rwlock_timed##op(pthread_rwlock_t *lock, const struct timespec *abstime)    \
    {                                                                                              \
        return pthread_rwlock_clock##op(lock, CLOCK_REALTIME, abstime);                            \
    }
RWLOCK_TIMED(rdlock, rwlock_try_read, rwlock_read)
RWLOCK_TIMED(wrlock, rwlock_try_write, rwlock_write)

/* ---- barrier, once, spin ---- */

EXPORT int pthread_barrier_init(pthread_barrier_t *barrier, const pthread_barrierattr_t *attr,
                                unsigned count)
{
    int shared = 0;
    if (attr)
        pthread_barrierattr_getpshared(attr, &shared);
    if (shared || count == 0 || count > INT32_MAX)
        return REAL(pthread_barrier_init)(barrier, attr, count);
    memset(barrier, 0, sizeof *barrier);
    ((struct barrier *)barrier)->count = count;
    return 0;
}

EXPORT int pthread_barrier_destroy(pthread_barrier_t *barrier)
{
    struct barrier *b = (struct barrier *)barrier;
    if (b->shared)
        return REAL(pthread_barrier_destroy)(barrier);
    return 0;
}

EXPORT int pthread_barrier_wait(pthread_barrier_t *barrier)
{
    struct barrier *b = (struct barrier *)barrier;
    if (b->shared)
        return REAL(pthread_barrier_wait)(barrier);
    return barrier_wait(b) ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
}

EXPORT int pthread_once(pthread_once_t *control, void (*init)(void))
{
    return -once_run((_Atomic uint32_t *)control, init);
}

EXPORT void call_once(once_flag *flag, void (*init)(void))
{
    once_run((_Atomic uint32_t *)flag, init);
}

EXPORT int pthread_spin_lock(pthread_spinlock_t *lock)
{
    return -spin_acquire((_Atomic int *)lock);
}

EXPORT int pthread_spin_trylock(pthread_spinlock_t *lock)
{
    return -spin_try((_Atomic int *)lock);
}

EXPORT int pthread_spin_unlock(pthread_spinlock_t *lock)
{
    return -spin_release((_Atomic int *)lock);
}

/* ---- semaphore ---- */

static bool sem_is_libc(sem_t *sem)
{
    return ((struct sem *)sem)->shared != 0;
}

EXPORT int sem_wait(sem_t *sem)
{
    if (unlikely(sem_is_libc(sem)))
        return REAL(sem_wait)(sem);
    fiber_at_cancel_point();
    return (int)set_errno(RESTART(fiber_self, true, sem_take((struct sem *)sem, TIMER_NEVER)));
}

EXPORT int sem_trywait(sem_t *sem)
{
    return (int)set_errno(sem_try((struct sem *)sem));
}

EXPORT int sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *abstime)
{
    if (unlikely(sem_is_libc(sem)))
        return REAL(sem_clockwait)(sem, clock, abstime);
    fiber_at_cancel_point();
    if (!sem_try((struct sem *)sem))
        return 0;
    uint64_t deadline;
    if ((clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) ||
        !deadline_from(clock, abstime, &deadline))
        return (int)set_errno(-EINVAL);
    return (int)set_errno(RESTART(fiber_self, false, sem_take((struct sem *)sem, deadline)));
}

EXPORT int sem_timedwait(sem_t *sem, const struct timespec *abstime)
{
    return sem_clockwait(sem, CLOCK_REALTIME, abstime);
}

EXPORT int sem_post(sem_t *sem)
{
    if (unlikely(sem_is_libc(sem)))
        return REAL(sem_post)(sem);
    return (int)set_errno(sem_give((struct sem *)sem));
}
