/*
 * 500 threads wait in fgets on pipes of their own; lines come in another order; every thread gets
 * its own whole line, and stdio's locks are free again after (fgets, flockfile).
 *
 * With the arguments "count N" they are N, and the kernel threads that wait for this are counted
 * (test/deep.py).
 */
#include "check.h"
#include "kernel-threads.h"

#include <semaphore.h>

#define MOST 2000

static FILE *in[MOST];
static int out[MOST], n = 500;
static sem_t waiting;

static void *reader(void *argument)
{
    long i = (long)argument;
    char line[64], expect[64];

    sem_post(&waiting);
    for (int round = 0; round < 2; round++) {
        CHECK(fgets(line, sizeof(line), in[i]) == line);
        snprintf(expect, sizeof(expect), "line %ld of round %d\n", i, round);
        CHECK_EQ(strcmp(line, expect), 0);
    }
    CHECK(fgets(line, sizeof(line), in[i]) == NULL);
    CHECK(feof(in[i]));
    return argument;
}

int main(int argc, char **argv)
{
    static pthread_t threads[MOST];
    struct rlimit files;
    int ends[2];

    watchdog();
    if (argc > 2) {
        n = atoi(argv[2]);
        CHECK(n > 0 && n <= MOST);
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < 8192 ? files.rlim_max : 8192;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < 2 * (rlim_t)n + 50) {
        SKIP("too few descriptors allowed");
    }
    sem_init(&waiting, 0, 0);
    for (long i = 0; i < n; i++) {
        SYS(pipe(ends));
        in[i] = fdopen(ends[0], "r");
        CHECK(in[i] != NULL);
        out[i] = ends[1];
        threads[i] = start(reader, (void *)i);
    }
    for (int i = 0; i < n; i++) {
        sem_wait(&waiting);
    }
    for (int round = 0; round < 2; round++) {
        nap(50);
        if (argc > 1 && strcmp(argv[1], "count") == 0) {
            printf("%d\n", kernel_threads());
        }
        for (long i = 0; i < n; i++) {
            long k = (i * 37 + 11) % n;

            dprintf(out[k], "line %ld of ", k);
            dprintf(out[k], "round %d\n", round);
        }
    }
    for (int i = 0; i < n; i++) {
        close(out[i]);
    }
    for (long i = 0; i < n; i++) {
        CHECK(finish(threads[i]) == (void *)i);
        CHECK_EQ(ftrylockfile(in[i]), 0);
        funlockfile(in[i]);
        fclose(in[i]);
    }
    return 0;
}
