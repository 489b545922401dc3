/* Threads read files that are not in the page cache: every byte arrives, at every offset, with read,
 * readv, pread and preadv, and the end of the file is where it is. */
#include "check.h"

#include <fcntl.h>
#include <sys/uio.h>

enum { THREADS = 64, SIZE = 300 * 1024 + 77 };

static char dir[] = "file-cold-XXXXXX";

static unsigned char byte_at(int file, size_t offset)
{
    return (unsigned char)(offset * 7 + offset / 4096 + (size_t)file * 13);
}

static void verify(int file, const unsigned char *data, size_t offset, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK_EQ(data[i], byte_at(file, offset + i));
}

static void name_of(int file, char *path)
{
    snprintf(path, 64, "%s/%d", dir, file);
}

static void make(int file)
{
    static unsigned char data[SIZE];
    char path[64];
    int fd;

    name_of(file, path);
    fd = SYS(open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600));
    for (size_t i = 0; i < SIZE; i++)
        data[i] = byte_at(file, i);
    write_all(fd, data, SIZE);
    SYS(fsync(fd));
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    SYS(close(fd));
}

static void *reader(void *argument)
{
    int file = (int)(long)argument;
    unsigned char *data = malloc(SIZE + 100);
    char path[64];
    size_t offset = 0;

    name_of(file, path);
    int fd = SYS(open(path, O_RDONLY));

    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    /* At the position. */
    while (offset < SIZE) {
        size_t want = 1 + (offset * 31) % 40000;
        ssize_t n = SYS(read(fd, data, want));
        CHECK_EQ(n, want < SIZE - offset ? want : SIZE - offset);
        verify(file, data, offset, (size_t)n);
        offset += (size_t)n;
    }
    CHECK_EQ(read(fd, data, 10), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), SIZE);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    /* At places of its own, which leaves the position alone. */
    CHECK_EQ(SYS(pread(fd, data, 5000, 200001)), 5000);
    verify(file, data, 200001, 5000);
    CHECK_EQ(SYS(pread(fd, data, 5000, SIZE - 10)), 10);
    CHECK_EQ(SYS(pread(fd, data, 5000, SIZE + 10)), 0);
    FAILS(pread(fd, data, 10, -1), EINVAL);

    struct iovec iov[3] = { { data, 10000 }, { data + 10000, 0 }, { data + 10000, 70000 } };

    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    CHECK_EQ(SYS(preadv(fd, iov, 3, 4090)), 80000);
    verify(file, data, 4090, 80000);
    CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    CHECK_EQ(SYS(readv(fd, iov, 3)), 80000);
    verify(file, data, 100, 80000);
    CHECK_EQ(SYS(preadv2(fd, iov, 3, -1, 0)), 80000);
    verify(file, data, 80100, 80000);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 160100);
    SYS(close(fd));
    free(data);
    return NULL;
}

int main(void)
{
    char path[64];

    watchdog();
    CHECK(mkdtemp(dir));
    for (int i = 0; i < THREADS; i++)
        make(i);
    run_threads(THREADS, reader);
    for (int i = 0; i < THREADS; i++) {
        name_of(i, path);
        unlink(path);
    }
    rmdir(dir);
    return 0;
}
