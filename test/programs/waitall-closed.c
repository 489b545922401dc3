/*
 * A descriptor is closed, replaced, or closed with all others, while threads receive from it with MSG_WAITALL: each
 * call that has begun keeps its connection, gets the rest of its bytes, and leaves no descriptor behind; also when the
 * process forks meanwhile, whose child does not keep the connections open.
 */
#include "check.h"

#include <dirent.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { ROUNDS = 20, EACH = 8 };

struct task {
    int pair[2], got;
    char data[4];
    pthread_t thread;
};

static void *receives(void *argument)
{
    struct task *task = argument;

    task->got = (int)SYS(recv(task->pair[0], task->data, sizeof task->data, MSG_WAITALL));
    return NULL;
}

static int descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    char path[300], to[64];
    int n = 0;

    while ((entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t length = readlink(path, to, sizeof to - 1);
        to[length > 0 ? length : 0] = 0;
        n += strncmp(to, "socket:", 7) == 0;
    }
    closedir(dir);
    return n;
}

static void drained(int fd)
{
    int n = 1;

    while (SYS(ioctl(fd, FIONREAD, &n)) == 0 && n)
        sched_yield();
}

static void go_away(int fd, int how, int other)
{
    if (how == 0)
        SYS(close(fd));
    else if (how == 1)
        SYS(dup2(other, fd));
    else
        SYS(close_range((unsigned)fd, (unsigned)fd, 0));
}

int main(void)
{
    int other[2], status;
    struct task tasks[EACH];

    watchdog();
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, other));
    int before = descriptors();
    for (int round = 0; round < ROUNDS; round++) {
        int done[2], there[2];
        char byte;

        SYS(pipe(done));
        SYS(pipe(there));
        for (int i = 0; i < EACH; i++) {
            struct task *t = &tasks[i];

            SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, t->pair));
            t->thread = start(receives, t);
            write_all(t->pair[1], "a", 1);
            drained(t->pair[0]);
        }
        for (int i = 0; i < EACH; i++)
            go_away(tasks[i].pair[0], (i + round) % 3, other[0]);
        pid_t child = SYS(fork());
        if (child == 0) {
            for (int i = 0; i < EACH; i++) {
                close(tasks[i].pair[1]);
                if ((i + round) % 3 == 1)
                    close(tasks[i].pair[0]);
            }
            close(done[1]);
            write_all(there[1], "c", 1);
            _exit(read(done[0], &byte, 1) != 0);
        }
        read_all(there[0], &byte, 1);
        for (int i = 0; i < EACH; i++) {
            struct task *t = &tasks[i];

            write_all(t->pair[1], "bcd", 3);
            finish(t->thread);
            CHECK_EQ(t->got, 4);
            CHECK_EQ(memcmp(t->data, "abcd", 4), 0);
            /* Nobody holds the other end any more. */
            errno = 0;
            CHECK_EQ(send(t->pair[1], "x", 1, MSG_NOSIGNAL), -1);
            CHECK_EQ(errno, EPIPE);
            close(t->pair[1]);
            if ((i + round) % 3 == 1)
                close(t->pair[0]);
        }
        close(done[0]);
        close(done[1]);
        close(there[0]);
        close(there[1]);
        SYS(waitpid(child, &status, 0));
        CHECK_EQ(status, 0);
    }
    CHECK_EQ(descriptors(), before);
    return 0;
}
