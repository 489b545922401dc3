/*
 * Threads that block in the kernel for long may take a kernel thread each; when they are done, most of
 * those go too.
 */
#include "check.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { THREADS = 40, FEW = THREADS / 2 };

static char path[] = "/tmp/kernel-threads-return-XXXXXX";
static atomic_int begun;

static void *waits(void *argument)
{
    int fd = (int)SYS(open(path, O_RDWR));

    begun++;
    SYS(flock(fd, LOCK_EX));
    close(fd);
    return argument;
}

static int kernel_threads(void)
{
    struct stat st;

    SYS(stat("/proc/self/task", &st));
    return (int)st.st_nlink - 2;
}

/* All of them wait, and go on. */
static void once(void)
{
    pthread_t threads[THREADS];
    int fd = (int)SYS(open(path, O_RDWR));

    begun = 0;
    SYS(flock(fd, LOCK_EX));
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start(waits, NULL);
    }
    while (begun < THREADS) {
        nap(1);
    }
    nap(200);
    close(fd);
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    for (int i = 0; i < 1000 && kernel_threads() > FEW; i++) {
        nap(20);
    }
    CHECK(kernel_threads() <= FEW);
}

int main(void)
{
    watchdog();
    close((int)SYS(mkstemp(path)));
    once();
    once(); /* what has gone is made again */
    unlink(path);
    return 0;
}
