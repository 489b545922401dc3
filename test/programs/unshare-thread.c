/*
 * unshare(CLONE_FS) gives one thread a working directory of its own; the others, and its children,
 * have theirs.
 */
#include "check.h"

#include <limits.h>
#include <sched.h>
#include <semaphore.h>

static char home[PATH_MAX];
static sem_t ready, go;

static void expect(const char *where)
{
    char now[PATH_MAX];

    CHECK(getcwd(now, sizeof now) != NULL);
    CHECK(strcmp(now, where) == 0);
}

static void *child(void *argument)
{
    expect(argument);
    return NULL;
}

static void *moves(void *argument)
{
    (void)argument;
    SYS(unshare(CLONE_FS));
    SYS(chdir("/"));
    sem_post(&ready);
    for (int i = 0; i < 50; i++) {
        expect("/");
        nap(1);
    }
    while (sem_wait(&go) < 0) {
    }
    expect("/");
    finish(start(child, (void *)"/"));
    return NULL;
}

static void *stays(void *argument)
{
    (void)argument;
    for (int i = 0; i < 50; i++) {
        expect(home);
        nap(1);
    }
    return NULL;
}

int main(void)
{
    pthread_t a, others[4];

    watchdog();
    SYS(chdir("/tmp"));
    CHECK(getcwd(home, sizeof home) != NULL);
    SYS(sem_init(&ready, 0, 0));
    SYS(sem_init(&go, 0, 0));
    a = start(moves, NULL);
    while (sem_wait(&ready) < 0) {
    }
    for (int i = 0; i < 4; i++) {
        others[i] = start(stays, NULL);
    }
    for (int i = 0; i < 4; i++) {
        finish(others[i]);
    }
    expect(home);
    sem_post(&go);
    finish(a);
    finish(start(child, home));
    return 0;
}
