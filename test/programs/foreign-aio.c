/*
 * Asynchronous I/O that reports completion on a thread of libc's, which hands it to the program's.
 */
#include "check.h"

#include <aio.h>
#include <signal.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int completed;

static void done(union sigval value)
{
    CHECK_EQ(aio_error(value.sival_ptr), 0);
    OK(pthread_mutex_lock(&mutex));
    completed++;
    OK(pthread_cond_broadcast(&cond));
    OK(pthread_mutex_unlock(&mutex));
}

static void *waits(void *argument)
{
    OK(pthread_mutex_lock(&mutex));
    while (completed < (int)(long)argument) {
        OK(pthread_cond_wait(&cond, &mutex));
    }
    OK(pthread_mutex_unlock(&mutex));
    return NULL;
}

int main(void)
{
    static char data[8][4096];
    struct aiocb blocks[8];
    const struct aiocb *list[1];
    char name[] = "/tmp/aio-XXXXXX";
    pthread_t threads[3];
    int fd;

    watchdog();
    fd = SYS(mkstemp(name));
    unlink(name);
    for (int i = 0; i < 3; i++) {
        threads[i] = start(waits, (void *)8);
    }
    for (int i = 0; i < 8; i++) {
        memset(data[i], 'a' + i, sizeof data[i]);
        memset(&blocks[i], 0, sizeof blocks[i]);
        blocks[i].aio_fildes = fd;
        blocks[i].aio_buf = data[i];
        blocks[i].aio_nbytes = sizeof data[i];
        blocks[i].aio_offset = i * 4096;
        blocks[i].aio_sigevent.sigev_notify = SIGEV_THREAD;
        blocks[i].aio_sigevent.sigev_notify_function = done;
        blocks[i].aio_sigevent.sigev_value.sival_ptr = &blocks[i];
        SYS(aio_write(&blocks[i]));
    }
    for (int i = 0; i < 3; i++) {
        finish(threads[i]);
    }
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(aio_return(&blocks[i]), 4096);
    }
    blocks[0].aio_sigevent.sigev_notify = SIGEV_NONE;
    memset(data[0], 0, 4096);
    SYS(aio_read(&blocks[0]));
    list[0] = &blocks[0];
    while (aio_error(&blocks[0]) == EINPROGRESS) {
        aio_suspend(list, 1, NULL);
    }
    CHECK_EQ(aio_return(&blocks[0]), 4096);
    CHECK_EQ(data[0][4095], 'a');
    return 0;
}
