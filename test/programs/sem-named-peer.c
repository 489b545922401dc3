/*
 * A named semaphore between threads of three processes: one forked, one executed with nothing preloaded.
 * Every token is taken once (POSIX sem_open).
 */
#include "check.h"

#include <fcntl.h>
#include <semaphore.h>

#include "peer.h"

enum { THREADS = 6, TOKENS = 600 };

static struct shared {
    char name[2][64];
    int taken, given;
} * s;
static sem_t *sem, *back;

static void *take(void *argument)
{
    for (;;) {
        while (sem_wait(sem) < 0) {
            CHECK_EQ(errno, EINTR);
        }
        if (__atomic_add_fetch(&s->taken, 1, __ATOMIC_SEQ_CST) > 3 * TOKENS) {
            break;
        }
        SYS(sem_post(back));
    }
    return argument;
}

static void *give(void *argument)
{
    for (int i = 0; i < TOKENS; i++) {
        SYS(sem_post(sem));
        while (sem_wait(back) < 0) {
            CHECK_EQ(errno, EINTR);
        }
        __atomic_add_fetch(&s->given, 1, __ATOMIC_SEQ_CST);
    }
    return argument;
}

static void run(void)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        threads[i] = start(take, NULL);
    }
    finish(start(give, NULL));
    await(&s->given, 3 * TOKENS);
    for (int i = 0; i < THREADS; i++) {
        SYS(sem_post(sem));
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
}

int main(int argc, char **argv)
{
    (void)argv;
    watchdog();
    if (argc > 1) {
        s = shared_memory();
        sem = sem_open(s->name[0], 0);
        back = sem_open(s->name[1], 0);
        CHECK(sem != SEM_FAILED && back != SEM_FAILED);
        run();
        return 0;
    }
    s = make_shared_memory();
    for (int i = 0; i < 2; i++) {
        snprintf(s->name[i], sizeof(s->name[i]), "/sem-peer-%d-%d", (int)getpid(), i);
    }
    sem = sem_open(s->name[0], O_CREAT | O_EXCL, 0600, 0);
    if (sem == SEM_FAILED) {
        SKIP("no named semaphores here");
    }
    back = sem_open(s->name[1], O_CREAT | O_EXCL, 0600, 0);
    CHECK(back != SEM_FAILED);
    pid_t first = peer("peer"), second = SYS(fork());
    if (second == 0) {
        watchdog();
        run();
        _exit(0);
    }
    run();
    CHECK_EQ(reap(first), 0);
    CHECK_EQ(reap(second), 0);
    SYS(sem_unlink(s->name[0]));
    SYS(sem_unlink(s->name[1]));
    CHECK_EQ(s->taken, 3 * TOKENS + 3 * THREADS);
    return 0;
}
