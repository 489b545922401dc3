/*
 * sem_open: O_CREAT, O_EXCL, names, the same address for the same semaphore, values that are too large;
 * an unlinked one goes on, and its name makes a new one (POSIX sem_open, sem_unlink, sem_close).
 */
#include "check.h"

#include <fcntl.h>
#include <limits.h>
#include <semaphore.h>

static char name[64], name2[64];

#define NO(call, error)                                                                            \
    do {                                                                                           \
        errno = 0;                                                                                 \
        CHECK((call) == SEM_FAILED);                                                               \
        CHECK_EQ(errno, (error));                                                                  \
    } while (0)

static void *all(void *argument)
{
    int value;
    char longer[400];

    NO(sem_open(name, 0), ENOENT);
    NO(sem_open(name, O_CREAT, 0600, (unsigned)SEM_VALUE_MAX + 1), EINVAL);
    NO(sem_open("/a/b", O_CREAT, 0600, 0), EINVAL);
    NO(sem_open("/", O_CREAT, 0600, 0), EINVAL);
    memset(longer, 'a', sizeof(longer));
    longer[0] = '/';
    longer[sizeof(longer) - 1] = 0;
    errno = 0;
    CHECK(sem_open(longer, O_CREAT, 0600, 0) == SEM_FAILED);
    CHECK(errno == ENAMETOOLONG || errno == EINVAL);

    sem_t *sem = sem_open(name, O_CREAT | O_EXCL, 0600, 3);
    CHECK(sem != SEM_FAILED);
    NO(sem_open(name, O_CREAT | O_EXCL, 0600, 3), EEXIST);
    sem_t *again = sem_open(name, 0);
    CHECK(again == sem);
    CHECK(sem_open(name, O_CREAT, 0600, 77) == sem);
    SYS(sem_getvalue(sem, &value));
    CHECK_EQ(value, 3);
    SYS(sem_close(again));
    SYS(sem_close(again));
    SYS(sem_wait(sem));
    SYS(sem_trywait(sem));
    SYS(sem_wait(sem));
    FAILS(sem_trywait(sem), EAGAIN);
    SYS(sem_unlink(name));
    FAILS(sem_unlink(name), ENOENT);
    NO(sem_open(name, 0), ENOENT);
    sem_t *other = sem_open(name, O_CREAT, 0600, 1);
    CHECK(other != SEM_FAILED && other != sem);
    SYS(sem_post(sem));
    SYS(sem_getvalue(other, &value));
    CHECK_EQ(value, 1);
    SYS(sem_getvalue(sem, &value));
    CHECK_EQ(value, 1);
    SYS(sem_close(other));
    SYS(sem_close(sem));
    SYS(sem_unlink(name));

    sem = sem_open(name2, O_CREAT, 0600, SEM_VALUE_MAX);
    CHECK(sem != SEM_FAILED);
    FAILS(sem_post(sem), EOVERFLOW);
    SYS(sem_close(sem));
    SYS(sem_unlink(name2));
    return argument;
}

int main(void)
{
    watchdog();
    snprintf(name, sizeof(name), "/sem-errors-%d", (int)getpid());
    snprintf(name2, sizeof(name2), "/sem-errors-%d-2", (int)getpid());
    sem_t *probe = sem_open(name, O_CREAT, 0600, 1);
    if (probe == SEM_FAILED) {
        SKIP("no named semaphores here");
    }
    SYS(sem_close(probe));
    SYS(sem_unlink(name));
    all(NULL);
    finish(start(all, NULL));
    return 0;
}
