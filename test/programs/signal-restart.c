/*
 * With SA_RESTART a caught signal does not end read, recv, accept, waitpid, sem_wait or futex
 * waits; pthread_mutex_lock, pthread_cond_wait and pthread_join never answer EINTR (signal(7)).
 */
#include "check.h"

#include <netinet/in.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum { KINDS = 7, SIGNALS = 10 };

static atomic_int handled;
static int pair[2], listener;
static struct sockaddr_in address;
static sem_t sem;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int go;
static pthread_t target;
static atomic_int entered;

static void handler(int signal)
{
    CHECK_EQ(signal, SIGUSR1);
    CHECK(pthread_equal(pthread_self(), target));
    handled++;
}

static void *sleeps(void *argument)
{
    SYS(sem_wait(&sem));
    return argument;
}

static void *body(void *argument)
{
    char byte = 0;

    target = pthread_self();
    entered = 1;
    switch (*(int *)argument) {
    case 0:
        CHECK_EQ(SYS(read(pair[0], &byte, 1)), 1);
        break;
    case 1:
        CHECK_EQ(SYS(recv(pair[0], &byte, 1, 0)), 1);
        break;
    case 2:
        SYS(close(SYS(accept(listener, NULL, NULL))));
        break;
    case 3:
        SYS(sem_wait(&sem));
        break;
    case 4:
        OK(pthread_mutex_lock(&gate));
        OK(pthread_mutex_unlock(&gate));
        break;
    case 5:
        OK(pthread_mutex_lock(&mutex));
        while (!go) {
            OK(pthread_cond_wait(&cond, &mutex));
        }
        OK(pthread_mutex_unlock(&mutex));
        break;
    default: {
        pthread_t other = start(sleeps, &go);
        CHECK(finish(other) == &go);
        break;
    }
    }
    return NULL;
}

static void release(int how)
{
    switch (how) {
    case 0:
    case 1:
        write_all(pair[1], "x", 1);
        break;
    case 2: {
        int fd = SYS(socket(AF_INET, SOCK_STREAM, 0));
        SYS(connect(fd, (struct sockaddr *)&address, sizeof(address)));
        SYS(close(fd));
        break;
    }
    case 4:
        OK(pthread_mutex_unlock(&gate));
        break;
    case 5:
        OK(pthread_mutex_lock(&mutex));
        go = 1;
        OK(pthread_cond_signal(&cond));
        OK(pthread_mutex_unlock(&mutex));
        break;
    default:
        SYS(sem_post(&sem));
        break;
    }
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    socklen_t length = sizeof(address);

    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SYS(sem_init(&sem, 0, 0));
    listener = SYS(socket(AF_INET, SOCK_STREAM, 0));
    address = (struct sockaddr_in){ .sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    SYS(bind(listener, (struct sockaddr *)&address, sizeof(address)));
    SYS(listen(listener, 5));
    SYS(getsockname(listener, (struct sockaddr *)&address, &length));
    for (int how = 0; how < KINDS; how++) {
        handled = entered = 0;
        if (how == 4) {
            OK(pthread_mutex_lock(&gate));
        }
        pthread_t thread = start(body, &how);
        while (!entered) {
            nap(1);
        }
        for (int i = 0; i < SIGNALS; i++) {
            int before = handled;

            OK(pthread_kill(thread, SIGUSR1));
            while (handled == before) {
                nap(1);
            }
        }
        CHECK_EQ(handled, SIGNALS);
        release(how);
        finish(thread);
    }
    return 0;
}
