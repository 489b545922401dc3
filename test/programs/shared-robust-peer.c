/*
 * Robust process-shared mutexes between two processes, of which the second has nothing preloaded. Each
 * way round: a process is killed while threads of it hold some and wait for others, a thread ends with
 * some, and the other process gets every one of them with EOWNERDEAD, also where it waited already
 * (POSIX pthread_mutexattr_setrobust).
 */
#include "check.h"

#include <signal.h>

#include "peer.h"

enum { HOLDERS = 8, WAITERS = 4 };

static struct shared {
    pthread_mutex_t mutex[HOLDERS], by_ended;
    int holding, waiting, recovered, go;
} * s;

static void init(void)
{
    pthread_mutexattr_t attr;

    memset(s, 0, sizeof(*s));
    OK(pthread_mutexattr_init(&attr));
    OK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
    OK(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
    for (int i = 0; i < HOLDERS; i++) {
        OK(pthread_mutex_init(&s->mutex[i], &attr));
    }
    OK(pthread_mutex_init(&s->by_ended, &attr));
}

static void *hold(void *argument)
{
    OK(pthread_mutex_lock(argument));
    __atomic_add_fetch(&s->holding, 1, __ATOMIC_SEQ_CST);
    pause();
    nap(60000);
    return NULL;
}

static void *wait_for_death(void *argument)
{
    __atomic_add_fetch(&s->waiting, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(argument);
    nap(60000);
    return NULL;
}

static void *end_with_it(void *argument)
{
    OK(pthread_mutex_lock(argument));
    return NULL;
}

static void victim(void)
{
    finish(start(end_with_it, &s->by_ended));
    for (int i = 0; i < HOLDERS; i++) {
        start(hold, &s->mutex[i]);
    }
    await(&s->holding, HOLDERS);
    for (int i = 0; i < WAITERS; i++) {
        start(wait_for_death, &s->mutex[0]);
    }
    await(&s->waiting, WAITERS);
    nap(20);
    tell(&s->go, 1);
    nap(60000);
}

static void *recover(void *argument)
{
    int error = pthread_mutex_lock(argument);

    if (error == EOWNERDEAD) {
        OK(pthread_mutex_consistent(argument));
        __atomic_add_fetch(&s->recovered, 1, __ATOMIC_SEQ_CST);
    } else {
        OK(error);
    }
    OK(pthread_mutex_unlock(argument));
    return NULL;
}

/* The heir, while the victim still lives; kill is called when its threads wait. */
static void inherit(void (*kill_it)(void))
{
    pthread_t threads[HOLDERS * 3];

    await(&s->go, 1);
    for (int i = 0; i < HOLDERS; i++) {
        CHECK_EQ(pthread_mutex_trylock(&s->mutex[i]), EBUSY);
    }
    CHECK_EQ(pthread_mutex_lock(&s->by_ended), EOWNERDEAD);
    OK(pthread_mutex_unlock(&s->by_ended));
    CHECK_EQ(pthread_mutex_lock(&s->by_ended), ENOTRECOVERABLE);
    for (int i = 0; i < HOLDERS * 3; i++) {
        threads[i] = start(recover, &s->mutex[i % HOLDERS]);
    }
    nap(30);
    kill_it();
    for (int i = 0; i < HOLDERS * 3; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(s->recovered, HOLDERS);
}

static pid_t child;

static void kill_child(void)
{
    SYS(kill(child, SIGKILL));
    CHECK(WIFSIGNALED(reap(child)));
}

static void ask_for_kill(void)
{
    tell(&s->go, 2);
}

int main(int argc, char **argv)
{
    no_core();
    watchdog();
    if (argc > 1) {
        s = shared_memory();
        if (strcmp(argv[1], "victim") == 0) {
            victim();
        } else {
            inherit(ask_for_kill);
        }
        return 0;
    }
    s = make_shared_memory();
    init();
    child = peer("victim");
    inherit(kill_child);

    init();
    pid_t heir = peer("heir");
    child = SYS(fork());
    if (child == 0) {
        watchdog();
        victim();
        _exit(1);
    }
    await(&s->go, 2);
    kill_child();
    CHECK_EQ(reap(heir), 0);
    return 0;
}
