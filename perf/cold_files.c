/*
 * cold_files: 10,000 threads (or as many as the argument says), each opens a file of its own that is
 * not in the page cache, and reads it. Prints the wall and CPU time of all reads divided by their
 * number, and how many kernel threads the process had at most.
 */
#include "bench.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define SIZE 16384

static char dir[] = "cold_files-XXXXXX";
static pthread_barrier_t begin;
static _Atomic int done;

static void name_of(long i, char *path)
{
    snprintf(path, 64, "%s/%ld", dir, i);
}

static void *reader(void *arg)
{
    char path[64], data[SIZE];

    name_of((long)arg, path);
    pthread_barrier_wait(&begin);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        bench_die("open: %s", strerror(errno));
    if (read(fd, data, SIZE) != SIZE || data[SIZE - 1] != (char)(long)arg)
        bench_die("read: %s", strerror(errno));
    close(fd);
    done++;
    return NULL;
}

static int kernel_threads(void)
{
    struct stat st;

    if (stat("/proc/self/task", &st) != 0)
        return 0;
    return (int)st.st_nlink - 2;
}

int main(int argc, char **argv)
{
    long n = argc > 1 ? atol(argv[1]) : 10000;
    pthread_t *threads = calloc((size_t)n, sizeof *threads);
    pthread_attr_t attr;
    char path[64], data[SIZE];
    int most = 0;

    if (n < 1 || !threads || !mkdtemp(dir))
        bench_die("cold_files: %s", strerror(errno));
    for (long i = 0; i < n; i++) {
        name_of(i, path);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        memset(data, (char)i, SIZE);
        if (fd < 0 || write(fd, data, SIZE) != SIZE)
            bench_die("cannot write %s: %s", path, strerror(errno));
        close(fd);
    }
    sync();
    for (long i = 0; i < n; i++) {
        name_of(i, path);
        int fd = open(path, O_RDONLY);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    bench_check(pthread_barrier_init(&begin, NULL, (unsigned)n + 1), "pthread_barrier_init");
    for (long i = 0; i < n; i++)
        bench_check(pthread_create(&threads[i], &attr, reader, (void *)i), "pthread_create");

    uint64_t cpu = bench_cpu(), start = bench_now();
    pthread_barrier_wait(&begin);
    while (done < n) {
        struct timespec pause = { 0, 2000000 };
        int now = kernel_threads();
        most = now > most ? now : most;
        nanosleep(&pause, NULL);
    }
    uint64_t wall = bench_now() - start;
    cpu = bench_cpu() - cpu;
    for (long i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
        name_of(i, path);
        unlink(path);
    }
    rmdir(dir);
    bench_print("cold_files", (double)wall / 1e3 / (double)n, "us");
    bench_print("cold_files_cpu", (double)cpu / 1e3 / (double)n, "us");
    bench_print("cold_files_kernel_threads", most, "threads");
    return 0;
}
