/*
 * soak: thousands of connections that open, idle, half-close, time out and are reset, in one process
 * with a thread for each side, while threads are signalled and cancelled at random. Every byte is
 * checked. An ordinary pthread program; soak.py runs it.
 *
 *     soak [-t seconds] [-c connections at once] [-s seed] [-x] [-k kernel threads] [-p seconds]
 *
 *     -x  a cancelled call must have transferred nothing (POSIX; glibc before 2.41 breaks it)
 *     -k  how many kernel threads there may be at any time
 *     -p  how long one connection may take
 *
 * The run is divided into cycles. A cycle starts everything and ends everything; then the process is at
 * rest and its descriptors, kernel threads and memory are compared with earlier rests. Exit status 0,
 * or 1 with a line on stderr that says what was wrong, and where.
 */
#include "soak.h"
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct settings settings = { .slots = 1000 };
atomic_bool draining;

static int most_threads;
static double patience = 60;
static atomic_bool watch;
static atomic_int peak;

void fail(const char *format, ...)
{
    static atomic_int first;
    char line[600];
    int n = 0;
    va_list args;

    if (me)
        n = snprintf(line, sizeof line,
                     "%s of %s %lu (%s, %s, %lu up, %lu down, %lu bytes moved): ", me->role,
                     kind_names[me->plan.kind], me->plan.number, me->plan.local ? "local" : "TCP",
                     me->plan.restart_only ? "restarts" : "interrupts", me->plan.up, me->plan.down,
                     me->bytes);
    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    if (!first++ || getenv("SOAK_ALL"))
        dprintf(2, "soak: seed %lu: %s\n", settings.seed, line);
    if (getenv("SOAK_ABORT"))
        abort();
    _exit(1);
}

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

pthread_t thread_start(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t small;

    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 * 1024);
    MUST(pthread_create(&thread, &small, body, argument));
    pthread_attr_destroy(&small);
    return thread;
}

static void nap_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    while (nanosleep(&t, &t) && errno == EINTR) {
    }
}

/* ---- at rest */

struct rest {
    int own;    /* descriptors of the kinds that this program opens: sockets and files */
    int others; /* anonymous inodes: what a library may keep, as this program has none */
    int threads;
    long rss_kb;
};

static int kernel_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    int n = -2;

    if (!dir)
        fail("/proc/self/task: %s", strerror(errno));
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* For people: what the kernel threads are and do. */
static void show_kernel_threads(void)
{
    static const char *const files[] = { "comm", "wchan", "syscall" };
    DIR *dir = opendir("/proc/self/task");
    char path[300], line[200];

    for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        for (int i = 0; i < 3 && entry->d_name[0] != '.'; i++) {
            snprintf(path, sizeof path, "/proc/self/task/%s/%s", entry->d_name, files[i]);
            FILE *file = fopen(path, "re");

            if (file && fgets(line, sizeof line, file))
                fprintf(stderr, "%s%.*s", i ? ", " : "    ", (int)strcspn(line, "\n"), line);
            if (file)
                fclose(file);
        }
        fprintf(stderr, "\n");
    }
    if (dir)
        closedir(dir);
}

static struct rest look(void)
{
    struct rest r = { 0, 0, kernel_threads(), 0 };
    DIR *dir = opendir("/proc/self/fd");
    char path[300], to[300], line[200];
    FILE *status;

    if (!dir)
        fail("/proc/self/fd: %s", strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(dir))
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t n = readlink(path, to, sizeof to - 1);
        to[n > 0 ? n : 0] = 0;
        *(strncmp(to, "anon_inode:", 11) ? &r.own : &r.others) += 1;
    }
    closedir(dir);
    status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        sscanf(line, "VmRSS: %ld", &r.rss_kb);
    if (status)
        fclose(status);
    return r;
}

/*
 * What has to be as it was. Sockets and files: exactly, they are all ours. Kernel threads: a library may
 * keep some, but no more than there are CPUs and a few, of thousands that were busy; detached threads and
 * what a library keeps for a while take some seconds to go. Other descriptors: some for each of those
 * threads. Memory: the stacks and arenas of the most threads that ever were at once stay with libc or
 * the library, and that number is random; so from the second cycle on it may grow by a tenth and 8 MB. In
 * a minute, 100 bytes lost with each connection are more.
 */
static struct rest at_rest(const struct rest *start, const struct rest *warm)
{
    int threads = start->threads + (int)sysconf(_SC_NPROCESSORS_ONLN) + 8;
    uint64_t begin = now_ns();
    struct rest r;

    do {
        nap_ms(50);
        r = look();
    } while ((r.own != start->own || r.threads > threads) && now_ns() - begin < 15000000000);
    if (r.own != start->own)
        fail("%d sockets and files are open at rest, %d were at the start", r.own, start->own);
    if (r.threads > threads)
        show_kernel_threads();
    if (r.threads > threads)
        fail("%d kernel threads at rest, %d at the start", r.threads, start->threads);
    if (r.others > start->others + 4 * threads)
        fail("%d other descriptors at rest, %d at the start", r.others, start->others);
    if (warm && r.rss_kb > warm->rss_kb + warm->rss_kb / 10 + 8192)
        fail("RSS is %ld KB at rest, it was %ld", r.rss_kb, warm->rss_kb);
    return r;
}

/* ---- a cycle */

static void *watcher(void *unused)
{
    for (int i = 0; watch; i++) {
        int n = kernel_threads();

        if (n > peak)
            peak = n;
        if (most_threads && n > most_threads)
            show_kernel_threads();
        if (most_threads && n > most_threads)
            fail("%d kernel threads, %d are allowed", n, most_threads);
        if (i % 50 == 0)
            ends_look(patience);
        nap_ms(20);
    }
    return unused;
}

static unsigned long connections(void)
{
    unsigned long n = 0;

    for (int i = 0; i < KINDS; i++)
        n += totals.connections[i];
    return n;
}

static void cycle(double seconds)
{
    pthread_t *slots = calloc((size_t)settings.slots, sizeof *slots), observer;
    uint64_t begin = now_ns();

    if (!slots)
        fail("no memory");
    draining = false;
    watch = true;
    servers_start();
    observer = thread_start(watcher, NULL);
    monkeys_start();
    for (intptr_t i = 0; i < settings.slots; i++)
        slots[i] = thread_start(client_slot, (void *)i);
    while ((double)(now_ns() - begin) < seconds * 1e9)
        nap_ms(100);
    draining = true;
    for (int i = 0; i < settings.slots; i++)
        MUST(pthread_join(slots[i], NULL));
    while (totals.servers) /* the watcher bounds it */
        nap_ms(5);
    monkeys_stop();
    servers_stop();
    watch = false;
    MUST(pthread_join(observer, NULL));
    free(slots);
    if (totals.sent != totals.received || totals.returned != totals.taken)
        fail("clients sent %lu bytes, servers got %lu; servers sent %lu, clients got %lu",
             totals.sent, totals.received, totals.returned, totals.taken);
    if (totals.accepted != connections())
        fail("%lu connections were made, %lu accepted", connections(), totals.accepted);
}

/* As many connections as descriptors allow. */
static void fit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r))
        return;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
    if ((rlim_t)settings.slots > (r.rlim_cur - 200) / 4) {
        settings.slots = (int)((r.rlim_cur - 200) / 4);
        printf("%d connections at once: that is what the limit of descriptors allows\n",
               settings.slots);
    }
}

int main(int argc, char **argv)
{
    double seconds = 10;
    int c;

    settings.seed = now_ns() % 1000000;
    while ((c = getopt(argc, argv, "t:c:s:xk:p:")) > 0) {
        switch (c) {
        case 't':
            seconds = atof(optarg);
            break;
        case 'c':
            settings.slots = atoi(optarg);
            break;
        case 's':
            settings.seed = strtoull(optarg, NULL, 10);
            break;
        case 'x':
            settings.exact = true;
            break;
        case 'k':
            most_threads = atoi(optarg);
            break;
        case 'p':
            patience = atof(optarg);
            break;
        default:
            return 2;
        }
    }
    if (seconds <= 0 || settings.slots < 1 || settings.slots > 20000)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %lu\n", settings.seed);
    fit();
    ends_prepare(settings.slots * 8 + 64);

    int cycles = seconds < 240 ? 4 : (int)(seconds / 60);
    struct rest start = look(), warm = start, now;
    for (int i = 0; i < cycles; i++) {
        cycle(seconds / cycles);
        now = at_rest(&start, i > 1 ? &warm : NULL);
        if (i == 1)
            warm = now;
        printf("cycle %d: %lu connections, %lu MB; at rest %d kernel threads (at most %d), %d + %d "
               "descriptors, RSS %ld KB\n",
               i + 1, connections(), (totals.sent + totals.returned) >> 20, now.threads, peak,
               now.own, now.others, now.rss_kb);
    }
    for (int i = 0; i < KINDS; i++)
        printf("%s%lu %s", i ? ", " : "", totals.connections[i], kind_names[i]);
    printf("; %lu broken; %lu signals, %lu ended a call; %lu timeouts; %lu cancelled, %lu of them "
           "while they moved bytes\n",
           totals.broken, signals_sent, interrupted, totals.timeouts, cancels_sent,
           totals.cancelled);
    return 0;
}
