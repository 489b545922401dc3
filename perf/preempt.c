/*
 * preempt [SECONDS [KIND]]: four threads for each CPU compute; beside them 100 threads sleep, and one
 * reads from a pipe that another process writes to. They compute without a call (plain), or allocate
 * and free (malloc), or print to /dev/null (stdio), or in pairs spin until the other has changed a word
 * (flag); or 64 of them spin for a lock in user space (lock). Prints
 *
 *   preempt_pause     the longest time that a computing thread made no progress
 *   preempt_sleep_p99 how late sleepers wake
 *   preempt_io_p50    how long after the write the reader has the data
 *   preempt_io_p99
 *
 * The other process also looks at the progress, so that looking needs no thread of ours.
 */
#include "bench.h"
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>

#define LOOPS    64
#define SLEEPERS 100
#define MOST     100000

struct shared {
    atomic_uint progress[LOOPS];
    atomic_int loops, stop;
    atomic_uint_fast64_t longest;
};

struct times {
    double v[MOST];
    atomic_uint n;
};

static struct shared *shared;
static struct times late, io;
static int fds[2];

static void add(struct times *t, uint64_t ns)
{
    unsigned i = atomic_fetch_add(&t->n, 1);

    if (i < MOST)
        t->v[i] = (double)ns;
}

static double percentile(struct times *t, double p)
{
    unsigned n = atomic_load(&t->n);

    if (n > MOST)
        n = MOST;
    if (!n)
        bench_die("nothing was measured");
    qsort(t->v, n, sizeof t->v[0], bench_by_value);
    return t->v[(unsigned)((double)(n - 1) * p)];
}

static void *loop(void *arg)
{
    atomic_uint *mine = arg;

    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed))
        for (int i = 0; i < 10000; i++)
            atomic_store_explicit(mine, atomic_load_explicit(mine, memory_order_relaxed) + 1,
                                  memory_order_relaxed);
    return NULL;
}

static void *malloc_loop(void *arg)
{
    unsigned size = 16;

    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        char *volatile block = malloc(size = size * 5 % 4093 + 1);

        *block = 1;
        free(block);
        atomic_fetch_add_explicit((atomic_uint *)arg, 1, memory_order_relaxed);
    }
    return NULL;
}

static void *stdio_loop(void *arg)
{
    FILE *f = fopen("/dev/null", "w");

    if (!f)
        bench_die("/dev/null cannot be opened");
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        fprintf(f, "%d %s\n", 12345, "words");
        atomic_fetch_add_explicit((atomic_uint *)arg, 1, memory_order_relaxed);
    }
    fclose(f);
    return NULL;
}

/* Each waits for its neighbour's last step, and makes the next. */
static void *flag_loop(void *arg)
{
    atomic_uint *mine = arg, *other = shared->progress + ((mine - shared->progress) ^ 1);
    unsigned first = (mine - shared->progress) & 1 ? 0 : 1;

    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed))
        if (atomic_load(other) + first > atomic_load(mine))
            atomic_fetch_add(mine, 1);
    return NULL;
}

static atomic_flag taken;

static void *lock_loop(void *arg)
{
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        while (atomic_flag_test_and_set_explicit(&taken, memory_order_acquire))
            if (atomic_load_explicit(&shared->stop, memory_order_relaxed))
                return NULL;
        for (int i = 0; i < 100; i++)
            atomic_fetch_add_explicit((atomic_uint *)arg, 1, memory_order_relaxed);
        atomic_flag_clear_explicit(&taken, memory_order_release);
    }
    return NULL;
}

static const struct {
    const char *name;
    void *(*body)(void *);
} kinds[] = {
    { "plain", loop },     { "malloc", malloc_loop }, { "stdio", stdio_loop },
    { "flag", flag_loop }, { "lock", lock_loop },
};

static void *sleeper(void *arg)
{
    unsigned ms = 10 + (unsigned)(intptr_t)arg % 37;

    while (!atomic_load(&shared->stop)) {
        struct timespec t = { 0, (long)ms * 1000000 };
        uint64_t start = bench_now();

        nanosleep(&t, NULL);
        add(&late, bench_now() - start - ms * 1000000ull);
    }
    return NULL;
}

static void *reader(void *arg)
{
    uint64_t sent[64];
    ssize_t n;

    (void)arg;
    while ((n = read(fds[0], sent, sizeof sent)) > 0) {
        uint64_t now = bench_now();

        for (unsigned i = 0; i < (size_t)n / sizeof sent[0]; i++)
            add(&io, now - sent[i]);
    }
    return NULL;
}

/* The other process: writes now and then, and looks at the loops meanwhile. */
static void watch(void)
{
    unsigned seen[LOOPS] = { 0 };
    uint64_t since[LOOPS] = { 0 }, written = 0;

    close(fds[0]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (!atomic_load(&shared->stop)) {
        struct timespec t = { 0, 1000000 };
        uint64_t now = bench_now();
        int n = atomic_load(&shared->loops);

        for (int i = 0; i < n; i++) {
            unsigned p = atomic_load(&shared->progress[i]);

            if (p != seen[i] || !since[i]) {
                seen[i] = p;
                since[i] = now;
            } else if (now - since[i] > atomic_load(&shared->longest)) {
                atomic_store(&shared->longest, now - since[i]);
            }
        }
        if (n && now - written > 7000000) {
            written = now = bench_now();
            if (write(fds[1], &now, sizeof now) != sizeof now)
                _exit(1);
        }
        nanosleep(&t, NULL);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    double seconds = bench_seconds(argc, argv, 2);
    pthread_t threads[LOOPS + SLEEPERS + 1];
    int n = 0, loops = 4 * (int)sysconf(_SC_NPROCESSORS_ONLN), status;
    cpu_set_t cpus;
    unsigned kind = 0;

    while (argc > 2 && strcmp(kinds[kind].name, argv[2]) != 0)
        if (++kind == sizeof kinds / sizeof kinds[0])
            bench_die("usage: %s [SECONDS [plain|malloc|stdio|flag|lock]]", argv[0]);
    if (!sched_getaffinity(0, sizeof cpus, &cpus))
        loops = 4 * CPU_COUNT(&cpus);
    if (loops > LOOPS || kinds[kind].body == lock_loop)
        loops = LOOPS;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || pipe(fds))
        bench_die("no memory or descriptors");

    pid_t child = fork();

    if (child == 0)
        watch();
    for (int i = 0; i < loops; i++)
        bench_create(&threads[n++], kinds[kind].body, &shared->progress[i]);
    for (intptr_t i = 0; i < SLEEPERS; i++)
        bench_create(&threads[n++], sleeper, (void *)i);
    bench_create(&threads[n++], reader, NULL);
    usleep(200000); /* until everybody has started */
    atomic_store(&late.n, 0);
    atomic_store(&shared->loops, loops);
    usleep((useconds_t)(seconds * 1e6));
    atomic_store(&shared->stop, 1);
    close(fds[1]); /* with the other process's end the reader ends */
    waitpid(child, &status, 0);
    for (int i = 0; i < n; i++)
        bench_join(threads[i]);
    bench_print("preempt_pause", (double)atomic_load(&shared->longest) / 1000, "us");
    bench_print("preempt_sleep_p99", percentile(&late, 0.99) / 1000, "us");
    bench_print("preempt_io_p50", percentile(&io, 0.5) / 1000, "us");
    bench_print("preempt_io_p99", percentile(&io, 0.99) / 1000, "us");
    return 0;
}
