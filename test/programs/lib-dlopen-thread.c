/* A library whose constructor makes a thread, and whose destructor ends it. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_t thread;
static atomic_int stop;
atomic_int library_rounds;

static void *body(void *argument)
{
    while (!atomic_load(&stop)) {
        atomic_fetch_add(&library_rounds, 1);
        usleep(100);
    }
    return argument;
}

__attribute__((constructor)) static void begin(void)
{
    if (pthread_create(&thread, NULL, body, NULL) != 0) {
        abort();
    }
}

__attribute__((destructor)) static void end(void)
{
    atomic_store(&stop, 1);
    if (pthread_join(thread, NULL) != 0) {
        abort();
    }
}
