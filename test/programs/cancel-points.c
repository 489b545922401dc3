/*
 * A thread blocked in a cancellation point is cancelled there: cleanup handlers run, the join
 * yields PTHREAD_CANCELED (POSIX 2.9.5 thread cancellation).
 */
#include "check.h"

#include <poll.h>
#include <semaphore.h>
#include <sys/socket.h>

static int pair[2];
static sem_t never;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_t sleeper;
static int cleaned;
static sem_t entered;

static void clean(void *argument)
{
    (void)argument;
    __atomic_add_fetch(&cleaned, 1, __ATOMIC_SEQ_CST);
}

static void unlock(void *argument)
{
    /* pthread_cond_wait reacquires the mutex before the handlers run: if it were not ours, an
     * error-checking unlock would say so. */
    OK(pthread_mutex_unlock(argument));
}

static void *body(void *argument)
{
    char byte;
    struct pollfd p = { .fd = pair[0], .events = POLLIN };
    struct msghdr m = { .msg_iov = &(struct iovec){ &byte, 1 }, .msg_iovlen = 1 };

    pthread_cleanup_push(clean, NULL);
    sem_post(&entered);
    switch (*(int *)argument) {
    case 0:
        (void)!read(pair[0], &byte, 1);
        break;
    case 1:
        recv(pair[0], &byte, 1, 0);
        break;
    case 2:
        recvmsg(pair[0], &m, 0);
        break;
    case 3:
        poll(&p, 1, -1);
        break;
    case 4:
        sem_wait(&never);
        break;
    case 5:
        sleep(1000);
        break;
    case 6:
        nap(1000000);
        break;
    case 7:
        pthread_join(sleeper, NULL);
        break;
    case 8:
        pthread_mutex_lock(&lock);
        pthread_cleanup_push(unlock, &lock);
        pthread_cond_wait(&cond, &lock);
        pthread_cleanup_pop(1);
        break;
    case 9:
        for (;;) {
            pthread_testcancel();
        }
        break;
    case 10:
        pause();
        break;
    case 11:
        select(pair[0] + 1, NULL, NULL, NULL, NULL);
        break;
    }
    dprintf(2, "case %d came back\n", *(int *)argument);
    _exit(1);
    pthread_cleanup_pop(0);
    return NULL;
}

int main(void)
{
    pthread_mutexattr_t checking;
    int cases = 0;

    watchdog();
    OK(pthread_mutexattr_init(&checking));
    OK(pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_ERRORCHECK));
    OK(pthread_mutex_init(&lock, &checking));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SYS(sem_init(&never, 0, 0));
    SYS(sem_init(&entered, 0, 0));
    sleeper = start(body, &(int){ 4 });
    sem_wait(&entered);
    for (int i = 0; i < 12; i++) {
        for (int late = 0; late < 2; late++) {
            pthread_t thread = start(body, &i);

            sem_wait(&entered);
            if (late) {
                nap(5);
            }
            OK(pthread_cancel(thread));
            CHECK(finish(thread) == PTHREAD_CANCELED);
            cases++;
            CHECK_EQ(cleaned, cases);
        }
    }
    OK(pthread_cancel(sleeper));
    CHECK(finish(sleeper) == PTHREAD_CANCELED);
    /* Nothing was left locked. */
    OK(pthread_mutex_lock(&lock));
    OK(pthread_mutex_unlock(&lock));
    return 0;
}
