/* POSIX message queues: threads block on an empty and on a full queue, messages arrive by priority and
 * none is lost, deadlines and O_NONBLOCK hold, a handler ends a wait. */
#include "check.h"

#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>

enum { THREADS = 20, EACH = 50 };

static char name[64];
static mqd_t queue;
static _Atomic int received, sum, waiting;

static void on_signal(int sig)
{
    (void)sig;
}

static void *receiver(void *unused)
{
    int message;
    unsigned priority;

    for (int i = 0; i < EACH; i++) {
        CHECK_EQ(SYS(mq_receive(queue, (char *)&message, sizeof message, &priority)),
                 sizeof message);
        CHECK_EQ(priority, message % 3);
        sum += message;
        received++;
    }
    return unused;
}

static void *sender(void *argument)
{
    int first = (int)(long)argument * EACH;

    for (int i = first; i < first + EACH; i++)
        SYS(mq_send(queue, (char *)&i, sizeof i, (unsigned)i % 3));
    return NULL;
}

static void *waiter(void *unused)
{
    int message;

    waiting = 1;
    FAILS(mq_receive(queue, (char *)&message, sizeof message, NULL), EINTR);
    waiting = 2;
    return unused;
}

static void *edges(void *unused)
{
    int message = 7, got;
    struct timespec past = { 0, 0 }, soon = from_now(CLOCK_REALTIME, 20), bad = { 0, 1000000000 };
    mqd_t other = SYS(mq_open(name, O_RDWR | O_NONBLOCK));

    FAILS(mq_receive(other, (char *)&got, sizeof got, NULL), EAGAIN);
    FAILS(mq_timedreceive(queue, (char *)&got, sizeof got, NULL, &past), ETIMEDOUT);
    FAILS(mq_timedreceive(queue, (char *)&got, sizeof got, NULL, &bad), EINVAL);
    FAILS(mq_timedreceive(queue, (char *)&got, sizeof got, NULL, &soon), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, soon));
    FAILS(mq_receive(queue, (char *)&got, 1, NULL), EMSGSIZE);
    FAILS(mq_receive(-1, (char *)&got, sizeof got, NULL), EBADF);
    for (int i = 0; i < 3; i++)
        SYS(mq_send(queue, (char *)&message, sizeof message, 0));
    FAILS(mq_send(other, (char *)&message, sizeof message, 0), EAGAIN);
    soon = from_now(CLOCK_REALTIME, 20);
    FAILS(mq_timedsend(queue, (char *)&message, sizeof message, 0, &soon), ETIMEDOUT);
    FAILS(mq_timedsend(queue, (char *)&message, sizeof message + 1, 0, &soon), EMSGSIZE);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(SYS(mq_timedreceive(queue, (char *)&got, sizeof got, NULL, &past)), sizeof got);
    SYS(mq_close(other));
    FAILS(mq_close(other), EBADF);
    return unused;
}

int main(void)
{
    pthread_t threads[2 * THREADS], thread;
    struct mq_attr attr = { .mq_maxmsg = 3, .mq_msgsize = sizeof(int) };
    struct sigaction action = { .sa_handler = on_signal };

    watchdog();
    snprintf(name, sizeof name, "/mq-threads-%d", getpid());
    queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
    if (queue < 0 && (errno == ENOSYS || errno == EMFILE || errno == EACCES))
        SKIP("no message queue to be had");
    SYS(queue);
    finish(start(edges, NULL));
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(receiver, NULL);
    for (int i = 0; i < THREADS; i++)
        threads[THREADS + i] = start(sender, (void *)(long)i);
    for (int i = 0; i < 2 * THREADS; i++)
        finish(threads[i]);
    CHECK_EQ(received, THREADS * EACH);
    CHECK_EQ(sum, THREADS * EACH * (THREADS * EACH - 1) / 2);
    sigaction(SIGUSR1, &action, NULL);
    thread = start(waiter, NULL);
    while (waiting < 2) {
        nap(5);
        if (waiting == 1)
            pthread_kill(thread, SIGUSR1);
    }
    finish(thread);
    mq_unlink(name);
    return 0;
}
