/* Several threads, then several processes, read records from one open file with read(): each record is
 * read once, whole, whoever else reads, though the file is not in the page cache. */
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>

enum { RECORDS = 400, RECORD = 20011, THREADS = 8, ROUNDS = 3 };

static unsigned char *seen; /* shared with children */
static int fd;

static void make(const char *path)
{
    int out = SYS(open(path, O_CREAT | O_RDWR | O_TRUNC, 0600));
    static unsigned char record[RECORD];

    for (int r = 0; r < RECORDS; r++) {
        memset(record, r % 251, sizeof record);
        memcpy(record, &r, sizeof r);
        memcpy(record + RECORD - sizeof r, &r, sizeof r);
        write_all(out, record, sizeof record);
    }
    SYS(fsync(out));
    SYS(close(out));
}

static void forget_pages(void)
{
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void *reader(void *unused)
{
    unsigned char *record = malloc(RECORD);
    int turns = 0;

    for (;;) {
        int first, last;
        ssize_t n = SYS(read(fd, record, RECORD));
        if (n == 0)
            break;
        CHECK_EQ(n, RECORD);
        memcpy(&first, record, sizeof first);
        memcpy(&last, record + RECORD - sizeof last, sizeof last);
        CHECK_EQ(first, last);
        CHECK(first >= 0 && first < RECORDS);
        for (size_t i = sizeof first; i < RECORD - sizeof last; i++)
            CHECK_EQ(record[i], first % 251);
        CHECK_EQ(__atomic_add_fetch(&seen[first], 1, __ATOMIC_SEQ_CST), 1);
        if (++turns % 16 == 0)
            forget_pages();
    }
    free(record);
    return unused;
}

static void all_seen_once(void)
{
    for (int r = 0; r < RECORDS; r++)
        CHECK_EQ(seen[r], 1);
    memset(seen, 0, RECORDS);
    forget_pages();
    CHECK_EQ(SYS(lseek(fd, 0, SEEK_SET)), 0);
}

int main(void)
{
    char path[] = "file-shared-offset-XXXXXX";
    pthread_t threads[THREADS];
    pid_t child;

    watchdog();
    SYS(close(SYS(mkstemp(path))));
    make(path);
    seen = mmap(NULL, RECORDS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    finish(start(reader, (fd = SYS(open(path, O_RDONLY)), NULL)));
    all_seen_once();
    SYS(close(fd));
    for (int round = 0; round < ROUNDS; round++) {
        fd = SYS(open(path, O_RDONLY));
        posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
        forget_pages();
        for (int i = 0; i < THREADS; i++)
            threads[i] = start(reader, NULL);
        for (int i = 0; i < THREADS; i++)
            finish(threads[i]);
        all_seen_once();
        /* A child shares the description. */
        child = SYS(fork());
        if (!child) {
            reader(NULL);
            _exit(0);
        }
        threads[0] = start(reader, NULL);
        threads[1] = start(reader, NULL);
        finish(threads[0]);
        finish(threads[1]);
        CHECK_EQ(reap(child), 0);
        all_seen_once();
        SYS(close(fd));
    }
    unlink(path);
    return 0;
}
