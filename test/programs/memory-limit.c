/*
 * A process at its limit of memory (RLIMIT_AS): pthread_create answers EAGAIN, the threads that are there go on
 * sending, receiving, sleeping and locking, no byte is lost, and when some have ended new ones can be made.
 */
#include "check.h"

#include <sys/resource.h>
#include <sys/socket.h>

enum { MOST = 20000, ECHOES = 200 };

static pthread_t threads[MOST];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int pair[2], go, done;

static void *waits(void *argument)
{
    OK(pthread_mutex_lock(&lock));
    while (!go)
        OK(pthread_cond_wait(&changed, &lock));
    done++;
    OK(pthread_mutex_unlock(&lock));
    return argument;
}

static void *echoes(void *argument)
{
    unsigned char data[64];

    for (int i = 0; i < ECHOES; i++) {
        read_all(pair[1], data, sizeof data);
        nap(i % 50 == 0);
        write_all(pair[1], data, sizeof data);
    }
    return argument;
}

/* Until there is no more; how many. */
static int make_all(void)
{
    int made = 0, error = 0;

    while (made < MOST && !(error = pthread_create(&threads[made], NULL, waits, NULL)))
        made++;
    CHECK(made == MOST || error == EAGAIN);
    return made;
}

static void end_all(int made)
{
    OK(pthread_mutex_lock(&lock));
    go = 1;
    OK(pthread_cond_broadcast(&changed));
    OK(pthread_mutex_unlock(&lock));
    for (int i = 0; i < made; i++)
        finish(threads[i]);
    CHECK_EQ(done, made);
    go = done = 0;
}

static long used_kb(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    CHECK(file && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(void)
{
    struct rlimit limit;

    watchdog();
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    pthread_t echo = start(echoes, NULL);
    SYS(getrlimit(RLIMIT_AS, &limit));
    limit.rlim_cur = ((rlim_t)used_kb() + 256 * 1024) * 1024;
    SYS(setrlimit(RLIMIT_AS, &limit));
    int first = make_all();
    CHECK(first > 4);
    for (int i = 0; i < ECHOES; i++) {
        unsigned char out[64], in[64];

        memset(out, i, sizeof out);
        write_all(pair[0], out, sizeof out);
        read_all(pair[0], in, sizeof in);
        CHECK_EQ(memcmp(in, out, sizeof in), 0);
    }
    finish(echo);
    end_all(first);
    int again = make_all();
    CHECK(again > 4);
    end_all(again);
    return 0;
}
