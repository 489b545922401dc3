/* Common to tls-dlopen-dynamic.c and tls-dlopen-initial.c: opens a library with thread-local
 * variables while threads exist, and uses the variables in the old threads and in new ones. */
#include "check.h"

#include <dlfcn.h>
#include <libgen.h>
#include <sched.h>

enum { OLD = 30, NEW = 30 };

static pthread_barrier_t barrier;
static int *(*tls_value)(void);
static char *(*tls_block)(void);
static const char *initial_block;

static void use(int me)
{
    int *value = tls_value();
    char *block = tls_block();

    CHECK_EQ(*value, 42);
    CHECK_EQ(strcmp(block, initial_block), 0);
    *value = me;
    block[63] = (char)me;
    for (int i = 0; i < 20; i++) {
        if (i % 4 == 0) {
            usleep(10);
        } else {
            sched_yield();
        }
        CHECK(tls_value() == value);
        CHECK_EQ(*value, me + i);
        CHECK_EQ(tls_block()[63], (char)me);
        (*value)++;
    }
}

static void *old_thread(void *argument)
{
    /* Waiting first in one place, then in another, while the library is opened. */
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    use(*(int *)argument);
    return NULL;
}

static void *new_thread(void *argument)
{
    use(*(int *)argument);
    return NULL;
}

/* The library's path is the first argument or else next to the program. */
static int run(int argc, char **argv, const char *library)
{
    pthread_t threads[OLD + NEW];
    int numbers[OLD + NEW];
    char path[4096];

    watchdog();
    if (argc > 1) {
        snprintf(path, sizeof(path), "%s", argv[1]);
    } else {
        char self[2048];
        ssize_t n = SYS(readlink("/proc/self/exe", self, sizeof(self) - 1));

        self[n] = 0;
        snprintf(path, sizeof(path), "%s/%s", dirname(self), library);
    }
    if (access(path, R_OK) != 0) {
        SKIP("the library to open is not there");
    }
    OK(pthread_barrier_init(&barrier, NULL, OLD + 1));
    for (int i = 0; i < OLD + NEW; i++) {
        numbers[i] = 1000 + i * 100;
    }
    for (int i = 0; i < OLD; i++) {
        threads[i] = start(old_thread, &numbers[i]);
    }
    pthread_barrier_wait(&barrier);
    void *handle = dlopen(path, RTLD_NOW);
    if (handle == NULL) {
        dprintf(2, "%s\n", dlerror());
        return 1;
    }
    *(void **)&tls_value = dlsym(handle, "tls_value");
    *(void **)&tls_block = dlsym(handle, "tls_block");
    CHECK(tls_value && tls_block);
    for (int i = OLD; i < OLD + NEW; i++) {
        threads[i] = start(new_thread, &numbers[i]);
    }
    pthread_barrier_wait(&barrier);
    use(7);
    for (int i = 0; i < OLD + NEW; i++) {
        finish(threads[i]);
    }
    return 0;
}
