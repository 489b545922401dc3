/*
 * Files of /proc that belong to one thread, found by gettid(2) or thread-self: a name that is written to
 * comm is the thread's, whoever writes it, and what is read is about that thread (proc(5)).
 */
#include "check.h"

#include <fcntl.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static sem_t ready, go;
static atomic_int tid;

static void path_of(char *path, const char *directory, int thread, const char *file)
{
    sprintf(path, "%s/task/%d/%s", directory, thread, file);
}

static void write_to(const char *path, const char *text)
{
    int fd = SYS(open(path, O_WRONLY));
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    SYS(close(fd));
}

static void reads(const char *path, const char *expected)
{
    char text[64] = "";
    int fd = SYS(open(path, O_RDONLY | O_CLOEXEC));
    CHECK(SYS(read(fd, text, sizeof text - 1)) > 0);
    SYS(close(fd));
    CHECK(!strncmp(text, expected, strlen(expected)) && text[strlen(expected)] == '\n');
}

static void is_called(pthread_t thread, const char *expected)
{
    char name[16];
    OK(pthread_getname_np(thread, name, sizeof name));
    CHECK_EQ(strcmp(name, expected), 0);
}

static long ticks(void)
{
    char text[512] = "", name[32];
    FILE *f = fopen("/proc/thread-self/stat", "r");
    CHECK(f && fgets(text, sizeof text, f));
    fclose(f);
    SYS(prctl(PR_GET_NAME, name));
    char *open = strchr(text, '('), *close = strrchr(text, ')');
    CHECK(close - open - 1 == (long)strlen(name) && !strncmp(open + 1, name, strlen(name)));
    char *field = close + 1;
    for (int i = 3; i <= 14; i++) {
        field = strchr(field, ' ') + 1;
    }
    return strtol(field, NULL, 10);
}

static void *by_itself(void *argument)
{
    char path[64], name[32], directory[32];
    volatile unsigned long work = 0;

    path_of(path, "/proc/self", gettid(), "comm");
    write_to(path, "by-its-file");
    is_called(pthread_self(), "by-its-file");
    SYS(prctl(PR_GET_NAME, name));
    CHECK_EQ(strcmp(name, "by-its-file"), 0);
    reads("/proc/thread-self/comm", "by-its-file");
    OK(pthread_setname_np(pthread_self(), "by-function"));
    reads(path, "by-function");
    sprintf(directory, "/proc/%d", getpid());
    path_of(path, directory, gettid(), "comm");
    reads(path, "by-function");
    long before = ticks();
    for (int i = 0; i < 60 && ticks() < before + 5; i++) {
        for (int j = 0; j < 20000000; j++) {
            work++;
        }
    }
    CHECK(ticks() >= before + 5);
    path_of(path, "/proc/self", gettid(), "nothing");
    FAILS(open(path, O_RDONLY), ENOENT);
    return argument;
}

static void *by_others(void *argument)
{
    char name[32];

    OK(pthread_setname_np(pthread_self(), "first"));
    tid = gettid();
    sem_post(&ready);
    sem_wait(&go);
    SYS(prctl(PR_GET_NAME, name));
    CHECK_EQ(strcmp(name, "from-outside"), 0);
    is_called(pthread_self(), "from-outside");
    reads("/proc/thread-self/comm", "from-outside");
    return argument;
}

int main(void)
{
    char path[64];

    watchdog();
    SYS(sem_init(&ready, 0, 0));
    SYS(sem_init(&go, 0, 0));
    finish(start(by_itself, NULL));
    for (int round = 0; round < 5; round++) {
        pthread_t thread = start(by_others, NULL);
        sem_wait(&ready);
        path_of(path, "/proc/self", tid, "comm");
        reads(path, "first");
        write_to(path, "from-outside");
        is_called(thread, "from-outside");
        reads(path, "from-outside");
        is_called(pthread_self(), "proc-thread-fil");
        sem_post(&go);
        finish(thread);
        nap(1); /* the kernel may show it a moment longer */
        for (int i = 0; i < 1000 && access(path, F_OK) == 0; i++) {
            nap(1);
        }
        FAILS(open(path, O_RDONLY), ENOENT);
    }
    finish(start(by_itself, NULL));
    reads("/proc/self/comm", "proc-thread-fil");
    reads("/proc/thread-self/comm", "proc-thread-fil");
    return 0;
}
