/*
 * fork from a thread while 1,000 others wait on pipes, condition variables, semaphores and timers: the
 * child is that thread alone and can do everything; the others of the parent go on (POSIX fork).
 */
#include "check.h"

#include <semaphore.h>

#define N 1000

static int gate[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
/* The child's: the parent's may be in use by threads that it does not have. */
static pthread_mutex_t own_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t own_cond = PTHREAD_COND_INITIALIZER;
static sem_t sem, waiting;
static int open_gate;

static void *waits(void *argument)
{
    char c;

    sem_post(&waiting);
    switch ((long)argument % 4) {
    case 0:
        read_all(gate[0], &c, 1);
        break;
    case 1:
        pthread_mutex_lock(&mutex);
        while (!open_gate) {
            pthread_cond_wait(&cond, &mutex);
        }
        pthread_mutex_unlock(&mutex);
        break;
    case 2:
        while (sem_wait(&sem) < 0) {
        }
        break;
    default:
        while (!__atomic_load_n(&open_gate, __ATOMIC_ACQUIRE)) {
            nap(20);
        }
    }
    return argument;
}

static void *adds(void *argument)
{
    pthread_mutex_lock(&own_mutex);
    ++*(int *)argument;
    pthread_cond_broadcast(&own_cond);
    pthread_mutex_unlock(&own_mutex);
    free(malloc(5000));
    return NULL;
}

static int child_work(void)
{
    pthread_t threads[20];
    int sum = 0;
    char c = 'x';

    watchdog();
    for (int i = 0; i < 20; i++) {
        threads[i] = start(adds, &sum);
    }
    pthread_mutex_lock(&own_mutex);
    while (sum < 20) {
        pthread_cond_wait(&own_cond, &own_mutex);
    }
    pthread_mutex_unlock(&own_mutex);
    for (int i = 0; i < 20; i++) {
        finish(threads[i]);
    }
    int own[2];
    SYS(pipe(own)); /* descriptors are the child's own */
    write_all(own[1], &c, 1);
    read_all(own[0], &c, 1);
    FILE *null = fopen("/dev/null", "w");
    CHECK(null != NULL);
    CHECK(fprintf(null, "%d\n", sum) > 0);
    CHECK_EQ(fclose(null), 0);
    return 7;
}

static void *forks(void *argument)
{
    for (int i = 0; i < 5; i++) {
        pid_t child = SYS(fork());

        if (child == 0) {
            exit(child_work());
        }
        int status = reap(child);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 7);
    }
    return argument;
}

int main(void)
{
    static pthread_t threads[N];
    static char bytes[N];
    pthread_attr_t attr;

    watchdog();
    SYS(pipe(gate));
    sem_init(&sem, 0, 0);
    sem_init(&waiting, 0, 0);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    for (long i = 0; i < N; i++) {
        OK(pthread_create(&threads[i], &attr, waits, (void *)i));
    }
    for (int i = 0; i < N; i++) {
        sem_wait(&waiting);
    }
    pthread_t forker = start(forks, NULL);
    forks(NULL);
    finish(forker);
    pthread_mutex_lock(&mutex);
    __atomic_store_n(&open_gate, 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
    write_all(gate[1], bytes, N / 4);
    for (int i = 0; i < N / 4; i++) {
        sem_post(&sem);
    }
    for (long i = 0; i < N; i++) {
        CHECK(finish(threads[i]) == (void *)i);
    }
    return 0;
}
