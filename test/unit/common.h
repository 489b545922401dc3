/* What several unit tests need: whether a sanitizer watches, random numbers, waiting for another
 * thread, and checks that may fail on a thread other than the test's. */
#ifndef TEST_UNIT_COMMON_H
#define TEST_UNIT_COMMON_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>

#include "base/atomic.h"

/* Sanitizers keep what they know of a thread behind the thread pointer: tests that switch it cannot
 * run under them. Loops are shortened, too. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif
#define ROUNDS(n) (SANITIZED ? (n) / 10 : (n))

static inline uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Until something that another thread does has happened; the test's timeout is the limit. */
#define wait_until(condition)                                                                      \
    do {                                                                                           \
        while (!(condition))                                                                       \
            sched_yield();                                                                         \
    } while (0)

/* Criterion's assertions leave the test by a jump, which only its own thread can make: the others
 * count, and the test looks at the end. */
static _Atomic int check_failures __attribute__((unused));
static _Atomic int check_line __attribute__((unused));

#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            add_seq(&check_failures, 1);                                                           \
            store_seq(&check_line, __LINE__);                                                      \
        }                                                                                          \
    } while (0)

#define assert_checks()                                                                            \
    cr_assert_eq(load_seq(&check_failures), 0, "%d checks failed, the last one in line %d",        \
                 load_seq(&check_failures), load_seq(&check_line))

static inline pthread_t spawn(void *(*start)(void *), void *arg)
{
    pthread_t thread;
    int err = pthread_create(&thread, NULL, start, arg);
    cr_assert_eq(err, 0, "pthread_create: %d", err);
    return thread;
}

#endif
