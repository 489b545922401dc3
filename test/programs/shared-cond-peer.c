/*
 * A process-shared condition variable between two processes, of which the second has nothing
 * preloaded: turns, signals that each wake somebody, broadcasts, and deadlines
 * (POSIX pthread_condattr_setpshared).
 */
#include "check.h"

#include "peer.h"

enum { WAITERS = 10, TURNS = 2000, TOKENS = 2000, PHASES = 50 };

static struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t turn_changed, token_there, phase_changed, nobody;
    int turn, tokens, consumed, produced, phase, arrived;
} * s;

static void take_turns(int parity)
{
    for (int i = 0; i < TURNS; i++) {
        OK(pthread_mutex_lock(&s->mutex));
        while (s->turn % 2 != parity) {
            OK(pthread_cond_wait(&s->turn_changed, &s->mutex));
        }
        s->turn++;
        OK(pthread_cond_signal(&s->turn_changed));
        OK(pthread_mutex_unlock(&s->mutex));
    }
}

static void *consume(void *argument)
{
    OK(pthread_mutex_lock(&s->mutex));
    for (;;) {
        while (!s->tokens && s->produced < 2) {
            OK(pthread_cond_wait(&s->token_there, &s->mutex));
        }
        if (!s->tokens) {
            break;
        }
        s->tokens--;
        s->consumed++;
    }
    OK(pthread_mutex_unlock(&s->mutex));
    return argument;
}

static void *phases(void *argument)
{
    OK(pthread_mutex_lock(&s->mutex));
    for (int i = 0; i < PHASES; i++) {
        int phase = s->phase;

        if (++s->arrived == 2 * WAITERS) {
            s->arrived = 0;
            s->phase++;
            OK(pthread_cond_broadcast(&s->phase_changed));
        }
        while (s->phase == phase) {
            OK(pthread_cond_wait(&s->phase_changed, &s->mutex));
        }
    }
    OK(pthread_mutex_unlock(&s->mutex));
    return argument;
}

static void *expire(void *argument)
{
    OK(pthread_mutex_lock(&s->mutex));
    for (int i = 0; i < 5; i++) {
        struct timespec t = from_now(CLOCK_REALTIME, 10);
        int error;

        do {
            error = pthread_cond_timedwait(&s->nobody, &s->mutex, &t);
        } while (error == 0);
        CHECK_EQ(error, ETIMEDOUT);
        CHECK(reached(CLOCK_REALTIME, t));
        t = from_now(CLOCK_MONOTONIC, 10);
        do {
            error = pthread_cond_clockwait(&s->nobody, &s->mutex, CLOCK_MONOTONIC, &t);
        } while (error == 0);
        CHECK_EQ(error, ETIMEDOUT);
        CHECK(reached(CLOCK_MONOTONIC, t));
    }
    OK(pthread_mutex_unlock(&s->mutex));
    return argument;
}

static void *produce(void *argument)
{
    for (int i = 0; i < TOKENS; i++) {
        OK(pthread_mutex_lock(&s->mutex));
        s->tokens++;
        OK(pthread_cond_signal(&s->token_there));
        OK(pthread_mutex_unlock(&s->mutex));
        if (i % 50 == 0) {
            nap(1);
        }
    }
    return argument;
}

static void run(int parity)
{
    pthread_t threads[3 * WAITERS];

    for (int i = 0; i < WAITERS; i++) {
        threads[3 * i] = start(consume, NULL);
        threads[3 * i + 1] = start(phases, NULL);
        threads[3 * i + 2] = start(expire, NULL);
    }
    pthread_t producer = start(produce, NULL);
    take_turns(parity);
    finish(producer);
    OK(pthread_mutex_lock(&s->mutex));
    s->produced++;
    OK(pthread_cond_broadcast(&s->token_there));
    OK(pthread_mutex_unlock(&s->mutex));
    for (int i = 0; i < 3 * WAITERS; i++) {
        finish(threads[i]);
    }
}

int main(int argc, char **argv)
{
    pthread_mutexattr_t mutex;
    pthread_condattr_t cond;

    (void)argv;
    watchdog();
    if (argc > 1) {
        s = shared_memory();
        run(1);
        return 0;
    }
    s = make_shared_memory();
    OK(pthread_mutexattr_init(&mutex));
    OK(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED));
    OK(pthread_mutex_init(&s->mutex, &mutex));
    OK(pthread_condattr_init(&cond));
    OK(pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED));
    OK(pthread_cond_init(&s->turn_changed, &cond));
    OK(pthread_cond_init(&s->token_there, &cond));
    OK(pthread_cond_init(&s->phase_changed, &cond));
    OK(pthread_cond_init(&s->nobody, &cond));
    pid_t child = peer("peer");
    run(0);
    CHECK_EQ(reap(child), 0);
    CHECK_EQ(s->turn, 2 * TURNS);
    CHECK_EQ(s->phase, PHASES);
    CHECK_EQ(s->consumed + s->tokens, 2 * TOKENS);
    OK(pthread_cond_destroy(&s->turn_changed));
    OK(pthread_cond_destroy(&s->token_there));
    OK(pthread_cond_destroy(&s->phase_changed));
    OK(pthread_cond_destroy(&s->nobody));
    return 0;
}
