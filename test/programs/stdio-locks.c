/*
 * One FILE written by many threads: each call is atomic, and flockfile keeps several calls
 * together although the holder sleeps and yields in between (POSIX flockfile).
 */
#include "check.h"

#include <sched.h>

enum { THREADS = 16, GROUPS = 30, WORDS = 5 };

static FILE *out;

static void *body(void *argument)
{
    int me = (int)(long)argument;

    for (int g = 0; g < GROUPS; g++) {
        flockfile(out);
        flockfile(out);
        for (int w = 0; w < WORDS; w++) {
            CHECK(fprintf(out, "%d.%d.%d ", me, g, w) > 0);
            if (w == 2) {
                sched_yield();
            }
        }
        if (g % 10 == 0) {
            usleep(10);
        }
        CHECK_EQ(putc_unlocked('\n', out), '\n');
        funlockfile(out);
        funlockfile(out);
    }
    return NULL;
}

static void *is_locked_out(void *argument)
{
    CHECK(ftrylockfile(out) != 0);
    return argument;
}

int main(void)
{
    int next[THREADS] = { 0 };
    char line[256];

    watchdog();
    out = tmpfile();
    CHECK(out != NULL);
    setvbuf(out, NULL, _IOFBF, 100);
    run_threads(THREADS, body);
    flockfile(out);
    finish(start(is_locked_out, NULL));
    funlockfile(out);

    rewind(out);
    for (int i = 0; i < THREADS * GROUPS; i++) {
        int who, group, word, length, at = 0;

        CHECK(fgets(line, sizeof(line), out) == line);
        for (int w = 0; w < WORDS; w++) {
            int first = who;

            CHECK_EQ(sscanf(line + at, "%d.%d.%d %n", &who, &group, &word, &length), 3);
            at += length;
            CHECK(w == 0 || who == first);
            CHECK_EQ(word, w);
            CHECK_EQ(group, next[who]);
        }
        next[who]++;
    }
    CHECK(fgets(line, sizeof(line), out) == NULL);
    fclose(out);
    return 0;
}
