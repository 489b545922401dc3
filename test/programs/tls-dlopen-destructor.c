/*
 * The destructors of a library's thread_local objects run when their threads end, though the library
 * was closed before: it stays mapped until then (dlclose(3), __cxa_thread_atexit_impl).
 */
#include "check.h"

#include <dlfcn.h>
#include <semaphore.h>

enum { THREADS = 50 };

static int destroyed;
static void (*use)(int *);
static sem_t used, go;

static void *body(void *argument)
{
    use(&destroyed);
    sem_post(&used);
    sem_wait(&go);
    return argument;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];

    watchdog();
    CHECK_EQ(argc, 2);
    SYS(sem_init(&used, 0, 0));
    SYS(sem_init(&go, 0, 0));
    for (int round = 0; round < 3; round++) {
        void *library = dlopen(argv[1], RTLD_NOW);

        CHECK(library != NULL);
        *(void **)&use = dlsym(library, "tls_use");
        CHECK(use != NULL);
        for (int i = 0; i < THREADS; i++) {
            threads[i] = start(body, NULL);
        }
        for (int i = 0; i < THREADS; i++) {
            sem_wait(&used);
        }
        CHECK_EQ(dlclose(library), 0);
        CHECK_EQ(destroyed, THREADS * round);
        for (int i = 0; i < THREADS; i++) {
            sem_post(&go);
        }
        for (int i = 0; i < THREADS; i++) {
            finish(threads[i]);
        }
        CHECK_EQ(destroyed, THREADS * (round + 1));
    }
    return 0;
}
