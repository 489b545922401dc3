/*
 * A cancellation that comes while it is disabled neither ends nor disturbs a call that blocks, not
 * with EINTR and not by burning CPU time; it acts once it is enabled (pthread_setcancelstate(3)).
 */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/select.h>

static int fds[2], queue, file;
static sem_t sem, entered;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sigset_t usr1, none;
static pid_t child;
static atomic_int done, go, handled;

static struct message {
    long type;
    char text[8];
} message = { 1, "text" };

static void call(int which)
{
    char byte;
    struct message m;
    struct pollfd twice[] = { { fds[0], POLLIN, 0 }, { fds[0], POLLIN, 0 } };
    struct timespec hour = { 3600, 0 };
    fd_set set;
    int sig;

    switch (which) {
    case 0:
        CHECK_EQ(read(fds[0], &byte, 1), 1);
        break;
    case 1:
        CHECK_EQ(poll(twice, 1, -1), 1);
        break;
    case 2:
        CHECK_EQ(poll(twice, 2, -1), 2);
        break;
    case 3:
        CHECK_EQ(ppoll(twice, 1, &hour, &none), 1);
        break;
    case 4:
        FD_ZERO(&set);
        FD_SET(fds[0], &set);
        CHECK_EQ(pselect(fds[0] + 1, &set, NULL, NULL, &hour, &none), 1);
        break;
    case 5:
        CHECK_EQ(sem_wait(&sem), 0);
        break;
    case 6:
        OK(sigwait(&usr1, &sig));
        break;
    case 7:
        CHECK_EQ(sigtimedwait(&usr1, NULL, &hour), SIGUSR1);
        break;
    case 8:
        CHECK_EQ(waitpid(child, NULL, 0), child);
        break;
    case 9:
        SYS(msgrcv(queue, &m, sizeof m.text, 0, 0));
        break;
    case 10:
        SYS(fcntl(file, F_SETLKW, &(struct flock){ .l_type = F_WRLCK }));
        break;
    case 11:
        OK(pthread_mutex_lock(&lock));
        while (!go) {
            OK(pthread_cond_wait(&cond, &lock));
        }
        OK(pthread_mutex_unlock(&lock));
        break;
    }
}
enum { CALLS = 12 };

static void release(int which, pthread_t thread)
{
    switch (which) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        SYS(write(fds[1], "x", 1));
        break;
    case 5:
        SYS(sem_post(&sem));
        break;
    case 6:
    case 7:
        OK(pthread_kill(thread, SIGUSR1));
        break;
    case 8:
    case 10:
        SYS(kill(child, SIGKILL));
        break;
    case 9:
        SYS(msgsnd(queue, &message, sizeof message.text, 0));
        break;
    case 11:
        OK(pthread_mutex_lock(&lock));
        go = 1;
        OK(pthread_cond_signal(&cond));
        OK(pthread_mutex_unlock(&lock));
        break;
    }
}

static void *body(void *argument)
{
    OK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL));
    sem_post(&entered);
    call(*(int *)argument);
    done = 1;
    OK(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL));
    pthread_testcancel();
    return argument;
}

static void on_signal(int sig)
{
    (void)sig;
    handled++;
}

static double cpu_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(void)
{
    char path[64], byte;

    watchdog();
    snprintf(path, sizeof path, "/tmp/cancel-disabled-%d", (int)getpid());
    file = SYS(open(path, O_CREAT | O_RDWR, 0600));
    SYS(unlink(path));
    SYS(pipe(fds));
    SYS(sem_init(&sem, 0, 0));
    SYS(sem_init(&entered, 0, 0));
    queue = SYS(msgget(IPC_PRIVATE, 0600 | IPC_CREAT));
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    signal(SIGUSR1, on_signal);
    OK(pthread_sigmask(SIG_BLOCK, &usr1, NULL));
    for (int i = 0; i < CALLS; i++) {
        if (i == 8 || i == 10) {
            int ready[2];

            SYS(pipe(ready));
            child = SYS(fork());
            if (child == 0) {
                SYS(fcntl(file, F_SETLKW, &(struct flock){ .l_type = F_WRLCK }));
                SYS(write(ready[1], "r", 1));
                for (;;) {
                    pause();
                }
            }
            read_all(ready[0], &byte, 1);
            close(ready[0]);
            close(ready[1]);
        }
        done = 0;
        pthread_t thread = start(body, &i);
        sem_wait(&entered);
        nap(20);
        OK(pthread_cancel(thread));
        double before = cpu_time();
        nap(100);
        if (done || cpu_time() - before > 0.07) {
            check_failed(__FILE__, __LINE__, "undisturbed", i, NULL);
        }
        release(i, thread);
        CHECK(finish(thread) == PTHREAD_CANCELED);
        CHECK_EQ(done, 1);
        if (i >= 1 && i <= 4) {
            read_all(fds[0], &byte, 1);
        }
        if (i == 10) {
            reap(child);
        }
    }
    CHECK_EQ(handled, 0);
    SYS(msgctl(queue, IPC_RMID, NULL));
    return 0;
}
