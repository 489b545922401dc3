/*
 * Files from several threads: read, write, lseek, pread, pwrite, readv, writev, preadv, pwritev,
 * preadv2, O_APPEND, truncation and end of file (POSIX pread; readv(2)).
 */
#include "check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { THREADS = 10, BLOCK = 5000, ROUNDS = 20 };

static int shared, appended;
static void *volatile nowhere = (void *)16;

static void *body(void *argument)
{
    int me = (int)(long)argument;
    unsigned char out[BLOCK], in[BLOCK];
    off_t at = (off_t)me * BLOCK;

    for (int i = 0; i < ROUNDS; i++) {
        struct iovec two_out[2] = { { out, 100 }, { out + 100, BLOCK - 100 } };
        struct iovec two_in[2] = { { in, 3000 }, { in + 3000, BLOCK - 3000 } };

        memset(out, me * ROUNDS + i, BLOCK);
        memset(in, 0, BLOCK);
        if (i % 2) {
            CHECK_EQ(pwrite(shared, out, BLOCK, at), BLOCK);
            CHECK_EQ(preadv(shared, two_in, 2, at), BLOCK);
        } else {
            CHECK_EQ(pwritev(shared, two_out, 2, at), BLOCK);
            CHECK_EQ(pread(shared, in, BLOCK, at), BLOCK);
        }
        CHECK_EQ(memcmp(in, out, BLOCK), 0);
        memset(in, 0, BLOCK);
        CHECK_EQ(preadv2(shared, two_in, 2, at, 0), BLOCK);
        CHECK_EQ(memcmp(in, out, BLOCK), 0);
        /* One write to an O_APPEND file is one piece. */
        CHECK_EQ(writev(appended, two_out, 2), BLOCK);
    }
    CHECK_EQ(fsync(shared), 0);
    return NULL;
}

int main(void)
{
    char names[2][32] = { "/tmp/check-XXXXXX", "/tmp/check-XXXXXX" };
    unsigned char block[BLOCK];
    int seen[256] = { 0 };
    struct stat st;

    watchdog();
    shared = SYS(mkstemp(names[0]));
    appended = SYS(mkstemp(names[1]));
    close(appended);
    appended = SYS(open(names[1], O_RDWR | O_APPEND | O_CLOEXEC));
    SYS(unlink(names[0]));
    SYS(unlink(names[1]));
    run_threads(THREADS, body);
    /* Positioned calls left the position alone. */
    CHECK_EQ(lseek(shared, 0, SEEK_CUR), 0);
    SYS(fstat(shared, &st));
    CHECK_EQ(st.st_size, THREADS * BLOCK);

    CHECK_EQ(lseek(appended, 0, SEEK_SET), 0);
    for (int i = 0; i < THREADS * ROUNDS; i++) {
        struct iovec two[2] = { { block, 1 }, { block + 1, BLOCK - 1 } };

        CHECK_EQ(i % 2 ? readv(appended, two, 2) : read(appended, block, BLOCK), BLOCK);
        for (int k = 1; k < BLOCK; k++) {
            CHECK_EQ(block[k], block[0]);
        }
        CHECK_EQ(seen[block[0]]++, 0);
        CHECK_EQ(lseek(appended, 0, SEEK_CUR), (off_t)(i + 1) * BLOCK);
    }
    CHECK_EQ(read(appended, block, BLOCK), 0);
    CHECK_EQ(pread(appended, block, BLOCK, (off_t)THREADS * ROUNDS * BLOCK - 7), 7);
    SYS(ftruncate(appended, 3));
    CHECK_EQ(pread(appended, block, BLOCK, 0), 3);
    FAILS(pread(appended, block, 1, -1), EINVAL);
    FAILS(read(-1, block, 1), EBADF);
    FAILS(write(9999, block, 1), EBADF);
    FAILS(read(shared, nowhere, 1), EFAULT);
    FAILS(pwrite(shared, nowhere, 1, 0), EFAULT);
    return 0;
}
