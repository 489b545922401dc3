/*
 * What a test of priority inheritance needs: the priority at which a thread runs now, and the scenario in
 * which the owner of a lock is lent that of who waits for it. Include after check.h.
 */
#ifndef PRIORITY_H
#define PRIORITY_H

#include <fcntl.h>
#include <sched.h>

/* What the scheduler goes by, as /proc shows it: -1 - priority for real-time threads. */
static inline int priority_now(void)
{
    char text[512];
    int fd = SYS(open("/proc/thread-self/stat", O_RDONLY));
    long n = SYS(read(fd, text, sizeof text - 1));

    SYS(close(fd));
    text[n] = 0;
    char *field = strrchr(text, ')') + 1; /* the second ends here, the 18th is meant */
    for (int i = 3; i <= 18; i++) {
        field = strchr(field, ' ') + 1;
    }
    return -1 - atoi(field);
}

static inline int try_real_time(int priority)
{
    struct sched_param param = { .sched_priority = priority };

    return pthread_setschedparam(pthread_self(), priority ? SCHED_FIFO : SCHED_OTHER, &param);
}

/* Whether this process may have real-time threads at all. */
static inline int real_time_allowed(void)
{
    if (try_real_time(1)) {
        return 0;
    }
    OK(try_real_time(0));
    return 1;
}

static inline void await_priority(int priority)
{
    int seen = priority_now();

    for (int i = 0; i < 5000 && seen != priority; i++) {
        nap(1);
        seen = priority_now();
    }
    CHECK_EQ(seen, priority);
}

struct lending {
    void (*lock)(void), (*unlock)(void);
    int own, urgent; /* priorities of the thread; 0: none that is real-time */
};

static inline void *lending_waits(void *argument)
{
    struct lending *l = argument;

    OK(try_real_time(l->urgent));
    l->lock();
    l->unlock();
    return NULL;
}

/* The owner may be of any kind; it gets what it has not, from one thread and then from a higher one, and
 * gives all of it back. */
static inline void *lending_holds(void *argument)
{
    struct lending *l = argument, a = *l, b = *l;

    if (l->own) {
        OK(try_real_time(l->own));
    }
    l->lock();
    int own = priority_now();
    a.urgent = 7;
    pthread_t first = start(lending_waits, &a);
    await_priority(7);
    b.urgent = 12;
    pthread_t second = start(lending_waits, &b);
    await_priority(12);
    l->unlock();
    CHECK_EQ(priority_now(), own);
    finish(first);
    finish(second);
    return NULL;
}

/* A thread like any other, a real-time thread, the caller. */
static inline void check_lending(void (*lock)(void), void (*unlock)(void))
{
    struct lending plain = { lock, unlock, 0, 0 }, real_time = { lock, unlock, 3, 0 };

    finish(start(lending_holds, &plain));
    finish(start(lending_holds, &real_time));
    lending_holds(&plain);
}

#endif
