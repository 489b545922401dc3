/*
 * stdio on pipes: 20 threads read lines with fgets that 20 others write with fprintf; every line
 * arrives whole and in order (C11 7.21, POSIX fdopen).
 */
#include "check.h"

enum { PAIRS = 20, LINES = 200 };

static int pipes[PAIRS][2];

static void *reader(void *argument)
{
    int me = *(int *)argument;
    FILE *in = fdopen(pipes[me][0], "r");
    char line[256];
    int n, i;

    CHECK(in != NULL);
    for (int k = 0; k < LINES; k++) {
        CHECK(fgets(line, sizeof(line), in) == line);
        CHECK_EQ(sscanf(line, "line %d of %d", &n, &i), 2);
        CHECK_EQ(n, k);
        CHECK_EQ(i, me);
        CHECK(line[strlen(line) - 1] == '\n');
    }
    CHECK(fgets(line, sizeof(line), in) == NULL);
    CHECK(feof(in) && !ferror(in));
    fclose(in);
    return NULL;
}

static void *writer(void *argument)
{
    int me = *(int *)argument;
    FILE *out = fdopen(pipes[me][1], "w");

    CHECK(out != NULL);
    /* Some unbuffered, so that readers wait in the middle of a line; some in large pieces. */
    setvbuf(out, NULL, me % 3 == 0 ? _IONBF : me % 3 == 1 ? _IOLBF : _IOFBF, 512);
    for (int k = 0; k < LINES; k++) {
        CHECK(fprintf(out, "line %d of %d %*s\n", k, me, k % 100, "") > 0);
        if (k % 50 == 0) {
            CHECK_EQ(fflush(out), 0);
            usleep(100);
        }
    }
    CHECK_EQ(fclose(out), 0);
    return NULL;
}

int main(void)
{
    pthread_t threads[2 * PAIRS];
    int numbers[PAIRS];

    watchdog();
    for (int i = 0; i < PAIRS; i++) {
        numbers[i] = i;
        SYS(pipe(pipes[i]));
        threads[i] = start(reader, &numbers[i]);
    }
    for (int i = 0; i < PAIRS; i++) {
        threads[PAIRS + i] = start(writer, &numbers[i]);
    }
    for (int i = 0; i < 2 * PAIRS; i++) {
        finish(threads[i]);
    }
    return 0;
}
