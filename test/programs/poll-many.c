/*
 * poll and ppoll over 200 pipes: each call reports exactly what is ready, from one or from
 * several threads polling the same descriptors (POSIX poll).
 */
#include "check.h"

#include <poll.h>

enum { PIPES = 200, WATCHERS = 3 };

static int pipes[PIPES][2];
static int counted[PIPES];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *collects(void *argument)
{
    struct pollfd polled[PIPES];
    int left = PIPES;

    for (int i = 0; i < PIPES; i++) {
        polled[i] = (struct pollfd){ .fd = pipes[i][0], .events = POLLIN };
    }
    while (left > 0) {
        int n = (int)SYS(argument ? ppoll(polled, PIPES, NULL, NULL) : poll(polled, PIPES, -1));
        int found = 0;

        CHECK(n > 0);
        for (int i = 0; i < PIPES; i++) {
            char byte;

            if (polled[i].revents == 0) {
                continue;
            }
            CHECK(polled[i].fd >= 0);
            CHECK_EQ(polled[i].revents, POLLIN);
            found++;
            read_all(pipes[i][0], &byte, 1);
            CHECK_EQ((unsigned char)byte, i);
            /* A negative number is skipped from now on. */
            polled[i].fd = -1;
            left--;
        }
        CHECK_EQ(found, n);
    }
    return NULL;
}

static void *watches(void *argument)
{
    /* Only looks: each watcher waits for its own last pipe among all the others. */
    struct pollfd polled[PIPES];
    int mine = *(int *)argument;

    for (int i = 0; i < PIPES; i++) {
        polled[i] = (struct pollfd){ .fd = pipes[i][0], .events = i == mine ? POLLIN : 0 };
    }
    CHECK_EQ(SYS(poll(polled, PIPES, -1)), 1);
    CHECK_EQ(polled[mine].revents, POLLIN);
    pthread_mutex_lock(&mutex);
    counted[mine]++;
    pthread_mutex_unlock(&mutex);
    return NULL;
}

int main(void)
{
    pthread_t threads[WATCHERS], collector;
    int numbers[WATCHERS];

    watchdog();
    for (int i = 0; i < PIPES; i++) {
        SYS(pipe(pipes[i]));
    }
    for (int round = 0; round < 2; round++) {
        collector = start(collects, round ? &mutex : NULL);
        for (int i = 0; i < PIPES; i++) {
            /* A walk that visits every pipe once, out of order. */
            int which = i * 77 % PIPES;

            write_all(pipes[which][1], &(char){ (char)which }, 1);
            if (i % 16 == 0) {
                usleep(500);
            }
        }
        finish(collector);
    }
    for (int i = 0; i < WATCHERS; i++) {
        numbers[i] = 50 * i;
        threads[i] = start(watches, &numbers[i]);
    }
    nap(5);
    for (int i = 0; i < WATCHERS; i++) {
        write_all(pipes[50 * i][1], "x", 1);
        finish(threads[i]);
        CHECK_EQ(counted[50 * i], 1);
    }
    return 0;
}
