/* The pthread objects and their C11 twins: conventions here, the work in lib/sync.
 *
 * Ours whether or not the runtime is active, so that an object keeps one owner from the first lock
 * before any thread exists to the last unlock. Positive error
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

EXPORT int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    int err = REAL(pthread_mutex_init)(mutex, attr), shared = 1;
    struct mutex *m = (struct mutex *)mutex;
    const int32_t both = MUTEX_ROBUST | MUTEX_INHERIT;
    if (err || (m->kind & both) != both || sync_real.direct)
        return err;
    /* libc marks robust ones as shared in any case. */
    if (attr && !pthread_mutexattr_getpshared(attr, &shared) && !shared)
        m->kind &= ~MUTEX_SHARED;
    robust_init(m);
    return 0;
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
    /* A mutex that is free, or relocked, is had whatever the time says; and relocking may be an error
     * before a wrong time is. */
    int err = mutex_trylock(m);
    if (err != -EBUSY)
        return -err;
    uint64_t deadline = 0;
    bool valid = deadline_from(clock, abstime, &deadline);
    err = mutex_lock_slow(m, deadline);
    return !valid && err == -ETIMEDOUT ? EINVAL : -err;
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
    /* As libc, which lets a robust one be destroyed while it is held. */
    uint32_t held = load_relaxed(&m->lock);
    if (m->kind & MUTEX_PROTECT)
        held &= 3; /* above is the ceiling */
    if ((held || __atomic_load_n(&m->users, __ATOMIC_RELAXED)) && !(m->kind & MUTEX_ROBUST))
        return EBUSY;
    m->kind = -1 & ~(MUTEX_ROBUST | MUTEX_INHERIT | MUTEX_PROTECT |
                     MUTEX_SHARED); /* further use is an error of the program */
    return 0;
}

EXPORT int pthread_mutex_setprioceiling(pthread_mutex_t *mutex, int ceiling, int *old)
{
    return -ceiling_set((struct mutex *)mutex, ceiling, old);
}

EXPORT int pthread_mutex_consistent(pthread_mutex_t *mutex)
{
    return -robust_consistent((struct mutex *)mutex);
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

static bool cond_is_shared(pthread_cond_t *cond)
{
    return unlikely(((struct cond *)cond)->flags & COND_SHARED);
}

/* A process-shared one whose protocol in this libc we do not know. */
static bool cond_is_libc(pthread_cond_t *cond)
{
    return cond_is_shared(cond) && !shared_cond_known();
}

/* libc's function, which may wait, on a kernel thread of its own. */
#define COND_LIBC(call)                                                                            \
    ({                                                                                             \
        struct fiber *self_ = fiber_at_cancel_point();                                             \
        if (self_)                                                                                 \
            handoff_move_enter(self_);                                                             \
        int outcome_ = (call);                                                                     \
        if (self_)                                                                                 \
            handoff_leave(self_);                                                                  \
        outcome_;                                                                                  \
    })

EXPORT int pthread_cond_destroy(pthread_cond_t *cond)
{
    if (cond_is_libc(cond))
        return COND_LIBC(REAL(pthread_cond_destroy)(cond));
    return cond_is_shared(cond) ? -shared_cond_destroy((struct cond *)cond) : 0;
}

/* A cancellation point: acted upon before the wait, or with the mutex locked again. */
static int cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline)
{
    waiter_at_cancel_point();
    struct cond *c = (struct cond *)cond;
    int err = cond_is_shared(cond) ? shared_cond_wait(c, (struct mutex *)mutex, deadline)
                                   : cond_wait(c, (struct mutex *)mutex, deadline);
    if (unlikely(err == -EINTR)) {
        cancel_point(NULL);
        err = 0;
    }
    return -err;
}

EXPORT int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    if (cond_is_libc(cond))
        return COND_LIBC(REAL(pthread_cond_wait)(cond, mutex));
    return cond_wait_until(cond, mutex, TIMER_NEVER);
}

EXPORT int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                                  const struct timespec *abstime)
{
    if (cond_is_libc(cond))
        return COND_LIBC(REAL(pthread_cond_clockwait)(cond, mutex, clock, abstime));
    DEADLINE(clock, abstime, deadline);
    return cond_wait_until(cond, mutex, deadline);
}

EXPORT int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *abstime)
{
    if (cond_is_libc(cond))
        return COND_LIBC(REAL(pthread_cond_timedwait)(cond, mutex, abstime));
    clockid_t clock = ((struct cond *)cond)->flags & COND_MONOTONIC ? CLOCK_MONOTONIC
                                                                    : CLOCK_REALTIME;
    return pthread_cond_clockwait(cond, mutex, clock, abstime);
}

EXPORT int pthread_cond_signal(pthread_cond_t *cond)
{
    if (cond_is_libc(cond))
        return COND_LIBC(REAL(pthread_cond_signal)(cond));
    return cond_is_shared(cond) ? -shared_cond_signal((struct cond *)cond)
                                : -cond_wake((struct cond *)cond, 1);
}

EXPORT int pthread_cond_broadcast(pthread_cond_t *cond)
{
    if (cond_is_libc(cond))
        return COND_LIBC(REAL(pthread_cond_broadcast)(cond));
    return cond_is_shared(cond) ? -shared_cond_broadcast((struct cond *)cond)
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

static bool rwlock_is_shared(pthread_rwlock_t *lock)
{
    return unlikely(((struct rwlock *)lock)->shared != 0);
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
    (void)lock;
    return 0;
}

#define RWLOCK(name, op, ...)                                                                      \
    EXPORT int pthread_rwlock_##name(pthread_rwlock_t *lock)                                       \
    {                                                                                              \
        struct rwlock *l = (struct rwlock *)lock;                                                  \
        return rwlock_is_shared(lock) ? -shared_rwlock_##op(l __VA_ARGS__)                         \
                                      : -rwlock_##op(l __VA_ARGS__);                               \
    }
RWLOCK(rdlock, read, , TIMER_NEVER)
RWLOCK(wrlock, write, , TIMER_NEVER)
RWLOCK(tryrdlock, try_read)
RWLOCK(trywrlock, try_write)
RWLOCK(unlock, unlock)

/* As in libc, the time must be valid even if the lock is free. */
#define RWLOCK_TIMED(name, op)                                                                     \
    EXPORT int pthread_rwlock_clock##name(pthread_rwlock_t *lock, clockid_t clock,                 \
                                          const struct timespec *abstime)                          \
    {                                                                                              \
        struct rwlock *l = (struct rwlock *)lock;                                                  \
        DEADLINE(clock, abstime, deadline);                                                        \
        return rwlock_is_shared(lock) ? -shared_rwlock_##op(l, deadline)                           \
                                      : -rwlock_##op(l, deadline);                                 \
    }                                                                                              \
    EXPORT int pthread_rwlock_timed##name(pthread_rwlock_t *lock, const struct timespec *abstime)  \
    {                                                                                              \
        return pthread_rwlock_clock##name(lock, CLOCK_REALTIME, abstime);                          \
    }
RWLOCK_TIMED(rdlock, read)
RWLOCK_TIMED(wrlock, write)

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
    return b->shared ? -shared_barrier_destroy(b) : 0;
}

EXPORT int pthread_barrier_wait(pthread_barrier_t *barrier)
{
    struct barrier *b = (struct barrier *)barrier;
    return (b->shared ? shared_barrier_wait(b) : barrier_wait(b)) ? PTHREAD_BARRIER_SERIAL_THREAD
                                                                  : 0;
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

EXPORT int sem_wait(sem_t *sem)
{
    waiter_at_cancel_point();
    return (int)set_errno(RESTART(fiber_self, true, sem_take((struct sem *)sem, TIMER_NEVER)));
}

EXPORT int sem_trywait(sem_t *sem)
{
    return (int)set_errno(sem_try((struct sem *)sem));
}

EXPORT int sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *abstime)
{
    uint64_t deadline;
    if ((clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) ||
        !deadline_from(clock, abstime, &deadline))
        return (int)set_errno(-EINVAL);
    waiter_at_cancel_point();
    return (int)set_errno(RESTART(fiber_self, false, sem_take((struct sem *)sem, deadline)));
}

EXPORT int sem_timedwait(sem_t *sem, const struct timespec *abstime)
{
    return sem_clockwait(sem, CLOCK_REALTIME, abstime);
}

EXPORT int sem_post(sem_t *sem)
{
    return (int)set_errno(sem_give((struct sem *)sem));
}
