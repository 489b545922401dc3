/*
 * Handlers that a library registered with pthread_atfork run while it is open and are gone when it is
 * closed, with threads around and from any thread (pthread_atfork(3), dlclose(3)).
 */
#include "check.h"

#include <dlfcn.h>
#include <semaphore.h>

static char order[64];
static const char *path;
static sem_t go;

static void *waits(void *argument)
{
    sem_wait(&go);
    return argument;
}

static void fork_and_compare(const char *in_parent, const char *in_child)
{
    order[0] = 0;
    pid_t child = SYS(fork());
    if (child == 0) {
        watchdog();
        _exit(strcmp(order, in_child) == 0 ? 0 : 1);
    }
    CHECK_EQ(reap(child), 0);
    CHECK_EQ(strcmp(order, in_parent), 0);
}

static void *body(void *argument)
{
    for (int i = 0; i < 5; i++) {
        void *library = dlopen(path, RTLD_NOW);
        int (*register_handlers)(char *);

        CHECK(library != NULL);
        *(void **)&register_handlers = dlsym(library, "register_handlers");
        CHECK(register_handlers != NULL);
        OK(register_handlers(order));
        fork_and_compare("pq", "pc");
        CHECK_EQ(dlclose(library), 0);
        fork_and_compare("", "");
    }
    return argument;
}

int main(int argc, char **argv)
{
    watchdog();
    CHECK_EQ(argc, 2);
    path = argv[1];
    SYS(sem_init(&go, 0, 0));
    pthread_t waiter = start(waits, NULL);
    finish(start(body, NULL));
    body(NULL);
    sem_post(&go);
    finish(waiter);
    return 0;
}
