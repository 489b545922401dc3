/*
 * fork while other threads are in the middle of malloc, stdio and the directory of streams: the child
 * finds none of those locks held (glibc's promise about fork).
 */
#include "check.h"

#include <stdatomic.h>

static atomic_int stop;

static void *allocates(void *argument)
{
    void *blocks[32] = { 0 };

    for (unsigned i = 1; !stop; i = i * 1103515245 + 12345) {
        free(blocks[i % 32]);
        blocks[i % 32] = malloc(i >> 8 & 0xffff);
    }
    for (int i = 0; i < 32; i++) {
        free(blocks[i]);
    }
    return argument;
}

static void *prints(void *argument)
{
    while (!stop) {
        FILE *null = fopen("/dev/null", "w");

        CHECK(null != NULL);
        fprintf(null, "%p", argument);
        fprintf(argument, "some text that makes the buffer full now and then\n");
        fclose(null);
    }
    return argument;
}

static void *forks(void *argument)
{
    for (int i = 0; i < 15; i++) {
        pid_t child = SYS(fork());

        if (child == 0) {
            watchdog();
            for (int k = 0; k < 50; k++) {
                free(malloc((size_t)k * 1000));
            }
            FILE *null = fopen("/dev/null", "w");
            CHECK(null != NULL);
            CHECK(fprintf(null, "child") == 5);
            CHECK(fprintf(argument, "child") == 5);
            CHECK_EQ(fclose(null), 0);
            CHECK_EQ(fflush(NULL), 0);
            _exit(3);
        }
        int status = reap(child);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 3);
    }
    return NULL;
}

int main(void)
{
    pthread_t busy[4], forkers[2];
    FILE *shared = fopen("/dev/null", "w");

    watchdog();
    CHECK(shared != NULL);
    for (int i = 0; i < 4; i++) {
        busy[i] = start(i % 2 ? prints : allocates, shared);
    }
    for (int i = 0; i < 2; i++) {
        forkers[i] = start(forks, shared);
    }
    for (int i = 0; i < 2; i++) {
        finish(forkers[i]);
    }
    stop = 1;
    for (int i = 0; i < 4; i++) {
        finish(busy[i]);
    }
    fclose(shared);
    return 0;
}
