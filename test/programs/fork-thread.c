/*
 * fork from a thread: the child has that thread alone, with its locals, TLS and errno, can use
 * stdio and malloc, and can make and join threads of its own (POSIX fork).
 */
#include "check.h"

#include <semaphore.h>

static __thread int mine;
static sem_t never;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static void *blocked(void *argument)
{
    sem_wait(&never);
    return argument;
}

static void *in_child(void *argument)
{
    char *text = malloc(10000);

    memset(text, 'x', 10000);
    usleep(100);
    free(text);
    CHECK_EQ(mine, 0);
    pthread_mutex_lock(&mutex);
    ++*(int *)argument;
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);
    return argument;
}

static int child_work(int number, pthread_t self)
{
    pthread_t threads[5];
    int count = 0;

    watchdog();
    CHECK_EQ(mine, number);
    CHECK(pthread_equal(self, pthread_self()));
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    fprintf(out, "child %d", number);
    fclose(out);
    CHECK_EQ(size, strlen(text));
    free(text);
    for (int i = 0; i < 5; i++) {
        threads[i] = start(in_child, &count);
    }
    pthread_mutex_lock(&mutex);
    while (count < 5) {
        pthread_cond_wait(&cond, &mutex);
    }
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < 5; i++) {
        CHECK(finish(threads[i]) == &count);
    }
    return 100 + number;
}

static void *forks(void *argument)
{
    mine = *(int *)argument;
    for (int i = 0; i < 5; i++) {
        pthread_t self = pthread_self();
        pid_t child = SYS(fork());

        if (child == 0) {
            _exit(child_work(mine, self));
        }
        int status = reap(child);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 100 + mine);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[8];
    int numbers[8];

    watchdog();
    SYS(sem_init(&never, 0, 0));
    for (int i = 0; i < 10; i++) {
        OK(pthread_detach(start(blocked, NULL)));
    }
    for (int i = 0; i < 8; i++) {
        numbers[i] = i + 1;
        threads[i] = start(forks, &numbers[i]);
    }
    for (int i = 0; i < 8; i++) {
        finish(threads[i]);
    }
    return 0;
}
