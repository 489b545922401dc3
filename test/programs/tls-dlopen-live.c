/*
 * A library with TLS is opened, closed and opened again while a thousand threads live, and others have
 * ended and begin anew: in each the variables have their initial values each time (dlopen(3)).
 */
#include "check.h"

#include <dlfcn.h>
#include <semaphore.h>

enum { THREADS = 1000, ROUNDS = 4, FIRST = 1 + 2 + 3 + 4 + 5 + 6 + 7 };

static int (*volatile sum)(int);
static pthread_barrier_t opened, looked;

static void look(void)
{
    CHECK_EQ(sum(100), FIRST);
    CHECK_EQ(sum(1), FIRST + 200);
    sched_yield();
    CHECK_EQ(sum(0), FIRST + 202);
}

static void *lives(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&opened);
        look();
        pthread_barrier_wait(&looked);
    }
    return argument;
}

static void *comes_later(void *argument)
{
    look();
    return argument;
}

static void *ends(void *argument)
{
    return argument;
}

int main(int argc, char **argv)
{
    static pthread_t threads[THREADS];
    pthread_attr_t attr;

    watchdog();
    CHECK_EQ(argc, 2);
    OK(pthread_attr_init(&attr));
    OK(pthread_attr_setstacksize(&attr, 64 * 1024));
    OK(pthread_barrier_init(&opened, NULL, THREADS + 1));
    OK(pthread_barrier_init(&looked, NULL, THREADS + 1));
    run_threads(200, ends);
    for (int i = 0; i < THREADS; i++) {
        OK(pthread_create(&threads[i], &attr, lives, NULL));
    }
    for (int round = 0; round < ROUNDS; round++) {
        void *library = dlopen(argv[1], RTLD_NOW);

        if (!library) {
            check_failed(__FILE__, __LINE__, dlerror(), round, NULL);
        }
        *(void **)&sum = dlsym(library, "tls_sum");
        CHECK(sum != NULL);
        pthread_barrier_wait(&opened);
        look();
        for (int i = 0; i < 50; i++) {
            finish(start(comes_later, NULL));
        }
        pthread_barrier_wait(&looked);
        CHECK_EQ(dlclose(library), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    return 0;
}
