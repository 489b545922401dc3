/* Handlers call what they may: sem_post, write, kill, sigaction, pthread_sigmask, clock_gettime; over threads
 * that compute, allocate, and wait for all kinds of things. */
#include "check.h"
#include <semaphore.h>
#include <signal.h>

/* Who is woken by a thread that computes waits for its slice: on a busy machine, where that takes long,
 * fewer rounds do. */
#define THREADS      6
#define ROUNDS       40
#define AT_LEAST     8
#define MILLISECONDS 8000

static sem_t posted;
static int pipes[2];
static volatile int stop;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sem_t never;

static void handler(int sig)
{
    int saved = errno;
    struct sigaction now;
    struct timespec t;
    sigset_t set;
    SYS(sigaction(sig, NULL, &now));
    OK(pthread_sigmask(SIG_SETMASK, NULL, &set));
    CHECK_EQ(sigismember(&set, sig), 1);
    clock_gettime(CLOCK_MONOTONIC, &t);
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    SYS(sem_post(&posted));
    errno = saved;
}

static void *body(void *argument)
{
    char buffer[16];
    volatile int x = 0;
    while (!stop) {
        switch ((long)argument % 6) {
        case 0:
            x++;
            break;
        case 1:
            free(malloc(1000));
            break;
        case 2:
            usleep(300);
            break;
        case 3: {
            struct timespec t = from_now(CLOCK_REALTIME, 2);
            sem_timedwait(&never, &t);
            break;
        }
        case 4:
            OK(pthread_mutex_lock(&lock));
            snprintf(buffer, sizeof buffer, "%d", x);
            OK(pthread_mutex_unlock(&lock));
            break;
        default:
            OK(pthread_mutex_lock(&lock));
            OK(pthread_mutex_unlock(&lock));
            sched_yield();
        }
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    pthread_t threads[THREADS];
    struct timespec enough = from_now(CLOCK_MONOTONIC, MILLISECONDS);
    char c;
    watchdog();
    SYS(sem_init(&posted, 0, 0));
    SYS(sem_init(&never, 0, 0));
    SYS(pipe(pipes));
    SYS(sigaction(SIGUSR1, &action, NULL));
    for (long i = 0; i < THREADS; i++) {
        threads[i] = start(body, (void *)i);
    }
    for (int round = 0; round < AT_LEAST || (round < ROUNDS && !reached(CLOCK_MONOTONIC, enough));
         round++) {
        for (int i = 0; i < THREADS; i++) {
            OK(pthread_kill(threads[i], SIGUSR1));
            while (sem_wait(&posted) < 0) {
                CHECK_EQ(errno, EINTR);
            }
            CHECK_EQ(read(pipes[0], &c, 1), 1);
        }
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    return 0;
}
