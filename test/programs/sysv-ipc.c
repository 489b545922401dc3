/* System V semaphores and message queues between threads: blocking, IPC_NOWAIT, timeouts, several
 * operations at once, removal while somebody waits. */
#include "check.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

enum { THREADS = 16, ROUNDS = 30 };

static int sems, queue;
static int shared;

struct message {
    long type;
    int value;
};

static void change(int which, int by, int flags)
{
    struct sembuf op = { (unsigned short)which, (short)by, (short)flags };

    SYS(semop(sems, &op, 1));
}

static void *locker(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        change(0, -1, 0);
        int before = shared;
        sched_yield();
        shared = before + 1;
        change(0, 1, 0);
    }
    return unused;
}

static void *echo(void *unused)
{
    struct message m;

    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(SYS(msgrcv(queue, &m, sizeof m.value, 1, 0)), sizeof m.value);
        m.type = 2;
        SYS(msgsnd(queue, &m, sizeof m.value, 0));
    }
    return unused;
}

static void *removed(void *unused)
{
    struct sembuf op = { 1, -1, 0 };

    FAILS(semop(sems, &op, 1), EIDRM);
    return unused;
}

static void *body(void *unused)
{
    pthread_t threads[THREADS], thread;
    struct timespec soon = { 0, 10000000 };
    struct sembuf now = { 1, -1, IPC_NOWAIT }, later = { 1, -1, 0 },
                  both[2] = { { 0, -1, 0 }, { 1, -1, 0 } };
    struct message m;
    int sum = 0;

    FAILS(semop(sems, &now, 1), EAGAIN);
    FAILS(semtimedop(sems, &later, 1, &soon), EAGAIN);
    FAILS(semop(sems, &later, 0), EINVAL);
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(locker, NULL);
    change(0, 1, 0);
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    CHECK_EQ(shared, THREADS * ROUNDS);
    CHECK_EQ(semctl(sems, 0, GETVAL), 1);
    now.sem_num = 1;
    FAILS(semop(sems, &now, 1), EAGAIN);
    FAILS(semtimedop(sems, both, 2, &soon), EAGAIN);
    CHECK_EQ(semctl(sems, 0, GETVAL), 1);
    FAILS(msgrcv(queue, &m, sizeof m.value, 2, IPC_NOWAIT), ENOMSG);
    thread = start(echo, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        m = (struct message){ 1, i };
        SYS(msgsnd(queue, &m, sizeof m.value, 0));
        SYS(msgrcv(queue, &m, sizeof m.value, 2, 0));
        sum += m.value;
    }
    finish(thread);
    CHECK_EQ(sum, ROUNDS * (ROUNDS - 1) / 2);
    thread = start(removed, NULL);
    while (SYS(semctl(sems, 1, GETNCNT)) < 1)
        nap(1);
    SYS(semctl(sems, 0, IPC_RMID));
    finish(thread);
    SYS(msgctl(queue, IPC_RMID, NULL));
    return unused;
}

int main(void)
{
    watchdog();
    sems = semget(IPC_PRIVATE, 2, 0600);
    queue = msgget(IPC_PRIVATE, 0600);
    if (sems < 0 || queue < 0)
        SKIP("no System V IPC to be had");
    finish(start(body, NULL));
    return 0;
}
