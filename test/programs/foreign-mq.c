/*
 * mq_notify with a thread: libc's runs the function, reads the queue and passes the message to the
 * program's by lock and semaphore.
 */
#include "check.h"

#include <mqueue.h>
#include <semaphore.h>
#include <signal.h>

static mqd_t queue;
static sem_t arrived;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char message[64];

static void notified(union sigval value)
{
    (void)value;
    OK(pthread_mutex_lock(&mutex));
    CHECK_EQ(mq_receive(queue, message, sizeof message, NULL), 6);
    OK(pthread_mutex_unlock(&mutex));
    SYS(sem_post(&arrived));
}

static void *receiver(void *argument)
{
    (void)argument;
    while (sem_wait(&arrived) < 0) {
    }
    OK(pthread_mutex_lock(&mutex));
    CHECK(strcmp(message, "hello") == 0);
    OK(pthread_mutex_unlock(&mutex));
    return NULL;
}

int main(void)
{
    struct mq_attr attr = { .mq_maxmsg = 4, .mq_msgsize = sizeof message };
    struct sigevent event = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = notified };
    char name[64];

    watchdog();
    snprintf(name, sizeof name, "/foreign-mq-%d", (int)getpid());
    queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
    if (queue == (mqd_t)-1) {
        SKIP("no message queues here");
    }
    mq_unlink(name);
    SYS(sem_init(&arrived, 0, 0));
    for (int i = 0; i < 5; i++) {
        pthread_t thread = start(receiver, NULL);

        if (mq_notify(queue, &event) < 0) {
            CHECK(errno == ENOSYS || errno == EAFNOSUPPORT);
            SKIP("no mq_notify with threads here");
        }
        SYS(mq_send(queue, "hello", 6, 0));
        finish(thread);
    }
    return 0;
}
