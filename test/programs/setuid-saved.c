/*
 * setuid makes the kernel's call once on every kernel thread: for a program that gave its rights up and
 * may take them back, setuid(0) changes the effective id only, and a second time would change them all.
 * From the main thread and from another; threads that wait, and threads made later, see the same ids.
 * seteuid and initgroups too.
 */
#include "check.h"

#include <grp.h>
#include <sys/syscall.h>

enum { THREADS = 8, NOBODY = 65534 };

static pthread_barrier_t changed_ids, looked;
static uid_t expected[3];

static void look(void)
{
    uid_t now[3];

    /* The kernel's word, for the kernel thread that runs us. */
    SYS(syscall(SYS_getresuid, &now[0], &now[1], &now[2]));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(now[i], expected[i]);
    }
}

static void *waits(void *argument)
{
    for (int i = 0; i < 3; i++) {
        pthread_barrier_wait(&changed_ids);
        look();
        sched_yield();
        look();
        pthread_barrier_wait(&looked);
    }
    return argument;
}

static void *looks(void *argument)
{
    look();
    return argument;
}

static void changed(uid_t real, uid_t effective, uid_t saved)
{
    expected[0] = real;
    expected[1] = effective;
    expected[2] = saved;
    pthread_barrier_wait(&changed_ids);
    look();
    finish(start(looks, NULL));
    pthread_barrier_wait(&looked);
}

static void *takes_back(void *argument)
{
    SYS(setuid(0));
    changed(NOBODY, 0, 0);
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];

    watchdog();
    if (geteuid() != 0) {
        SKIP("not root");
    }
    OK(pthread_barrier_init(&changed_ids, NULL, THREADS + 1));
    OK(pthread_barrier_init(&looked, NULL, THREADS + 1));
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start(waits, NULL);
    }
    SYS(initgroups("root", 4711));
    SYS(setresuid(NOBODY, NOBODY, 0));
    changed(NOBODY, NOBODY, 0);
    finish(start(takes_back, NULL));
    SYS(seteuid(NOBODY));
    changed(NOBODY, NOBODY, 0);
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    FAILS(seteuid((uid_t)-1), EINVAL);
    FAILS(setgid(0x7fffffff), EPERM);
    return 0;
}
