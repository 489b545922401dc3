/* Writes that wait for the disk (O_SYNC, O_DIRECT) keep the position like others, pwrite leaves it
 * alone; fsync, fdatasync and sync_file_range succeed from many threads and fail as they should; a
 * limit on file sizes raises SIGXFSZ. */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/uio.h>

enum { THREADS = 40, BLOCK = 4096 };

static char path[] = "file-sync-XXXXXX";
static volatile sig_atomic_t too_big;

static void on_xfsz(int sig)
{
    too_big = sig;
}

static void *syncer(void *argument)
{
    int fd = *(int *)argument;

    CHECK_EQ(SYS(pwrite(fd, "x", 1, 0)), 1);
    SYS(fsync(fd));
    SYS(fdatasync(fd));
    SYS(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
    return NULL;
}

static void positions(int flags)
{
    char *data;
    struct iovec iov[2];
    int fd = open(path, O_RDWR | O_TRUNC | flags);

    if (fd < 0 && errno == EINVAL)
        return; /* no O_DIRECT here */
    SYS(fd);
    CHECK(posix_memalign((void **)&data, BLOCK, 4 * BLOCK) == 0);
    memset(data, 'a', BLOCK);
    memset(data + BLOCK, 'b', BLOCK);
    CHECK_EQ(SYS(write(fd, data, BLOCK)), BLOCK);
    CHECK_EQ(SYS(pwrite(fd, data + BLOCK, BLOCK, 2 * BLOCK)), BLOCK);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), BLOCK);
    CHECK_EQ(SYS(write(fd, data + BLOCK, BLOCK)), BLOCK);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 2 * BLOCK);
    iov[0] = (struct iovec){ data, BLOCK };
    iov[1] = (struct iovec){ data, BLOCK };
    CHECK_EQ(SYS(writev(fd, iov, 2)), 2 * BLOCK);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4 * BLOCK);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    memset(data, 0, 4 * BLOCK);
    CHECK_EQ(SYS(read(fd, data, BLOCK)), BLOCK);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), BLOCK);
    CHECK_EQ(SYS(read(fd, data + BLOCK, 3 * BLOCK)), 3 * BLOCK);
    CHECK_EQ(SYS(read(fd, data, BLOCK)), 0);
    CHECK_EQ(data[0], 'a');
    CHECK_EQ(data[BLOCK], 'b');
    CHECK_EQ(data[2 * BLOCK], 'a');
    CHECK_EQ(data[4 * BLOCK - 1], 'a');
    free(data);
    SYS(close(fd));
}

static void *body(void *unused)
{
    int fd = SYS(open(path, O_RDWR)), pipes[2];
    pthread_t threads[THREADS];
    struct rlimit limit;

    for (int i = 0; i < THREADS; i++)
        threads[i] = start(syncer, &fd);
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    SYS(close(fd));
    SYS(pipe(pipes));
    FAILS(fsync(pipes[0]), EINVAL);
    FAILS(fdatasync(-1), EBADF);
    FAILS(sync_file_range(pipes[0], 0, 0, 0), ESPIPE);
    positions(0);
    positions(O_SYNC);
    positions(O_DSYNC);
    positions(O_DIRECT);
    positions(O_DIRECT | O_DSYNC);
    signal(SIGXFSZ, on_xfsz);
    SYS(getrlimit(RLIMIT_FSIZE, &limit));
    limit.rlim_cur = 10;
    SYS(setrlimit(RLIMIT_FSIZE, &limit));
    fd = SYS(open(path, O_RDWR | O_TRUNC | O_DSYNC));
    CHECK_EQ(write(fd, "0123456789abc", 13), 10);
    CHECK_EQ(too_big, 0);
    FAILS(write(fd, "d", 1), EFBIG);
    CHECK_EQ(too_big, SIGXFSZ);
    return unused;
}

int main(void)
{
    watchdog();
    SYS(close(SYS(mkstemp(path))));
    finish(start(body, NULL));
    unlink(path);
    return 0;
}
