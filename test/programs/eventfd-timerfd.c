/*
 * Blocking reads of eventfd (counter and semaphore mode) and timerfd, and a write to a full
 * eventfd that waits for a reader (eventfd(2), timerfd_create(2)).
 */
#include "check.h"

#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

enum { THREADS = 10, ROUNDS = 100 };

static int counter, semaphore, full;
static uint64_t total;

static void *adds(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        write_all(counter, &(uint64_t){ 1 }, 8);
        write_all(semaphore, &(uint64_t){ 1 }, 8);
    }
    return argument;
}

static void *takes(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t value;

        CHECK_EQ(SYS(read(semaphore, &value, 8)), 8);
        CHECK_EQ(value, 1);
    }
    return argument;
}

static void *sums(void *argument)
{
    while (total < THREADS * ROUNDS) {
        uint64_t value;

        CHECK_EQ(SYS(read(counter, &value, 8)), 8);
        CHECK(value > 0);
        total += value;
    }
    return argument;
}

static void *fills(void *argument)
{
    /* The first fills it to the brim, the second has to wait. */
    write_all(full, &(uint64_t){ UINT64_MAX - 1 }, 8);
    write_all(full, &(uint64_t){ 5 }, 8);
    return argument;
}

static void *ticks(void *argument)
{
    int timer = SYS(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    struct itimerspec every = { .it_interval = { 0, 5000000 }, .it_value = { 0, 5000000 } };
    struct timespec t = from_now(CLOCK_MONOTONIC, 25);
    uint64_t value, count = 0;

    SYS(timerfd_settime(timer, 0, &every, NULL));
    while (count < 5) {
        CHECK_EQ(SYS(read(timer, &value, 8)), 8);
        CHECK(value > 0);
        count += value;
    }
    CHECK(reached(CLOCK_MONOTONIC, t));
    SYS(close(timer));
    return argument;
}

int main(void)
{
    pthread_t adders[THREADS], takers[THREADS], tickers[THREADS], summer, filler;
    uint64_t value;

    watchdog();
    counter = SYS(eventfd(0, 0));
    semaphore = SYS(eventfd(0, EFD_SEMAPHORE));
    full = SYS(eventfd(0, 0));
    summer = start(sums, NULL);
    filler = start(fills, NULL);
    for (int i = 0; i < THREADS; i++) {
        takers[i] = start(takes, NULL);
        tickers[i] = start(ticks, NULL);
        adders[i] = start(adds, NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        finish(adders[i]);
        finish(takers[i]);
        finish(tickers[i]);
    }
    finish(summer);
    CHECK_EQ(total, THREADS * ROUNDS);
    CHECK_EQ(SYS(read(full, &value, 8)), 8);
    CHECK_EQ(value, UINT64_MAX - 1);
    finish(filler);
    CHECK_EQ(SYS(read(full, &value, 8)), 8);
    CHECK_EQ(value, 5);
    return 0;
}
