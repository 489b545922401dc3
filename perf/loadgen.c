/*
 * The closed-loop load generator behind load.c and demo/http_load.c; see loadgen.h.
 *
 * One run: connect everybody, each with one checked request of its own (so every connection has
 * been accepted and served when the load begins); weigh the server at rest; start the active ones;
 * warm up; measure; stop sending and collect what is outstanding; ask every connection, the idle
 * ones too, one last checked question; hang up.
 *
 * What keeps the numbers honest: latency counts only for requests sent inside the measured time; a
 * request still unanswered at its end counts into the maximum with its age, and a connection that
 * got no answer in the whole time is counted as starved, so an unfair server cannot look fast by
 * serving a few favourites; requests = connections / mean latency can be checked from the output.
 */
#include "loadgen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "watch.h"

#define EVENTS      256
#define SETUP_BATCH 128  /* connections opened before they are spoken to */
#define CHECK_BATCH 512  /* last questions in flight */
#define PER_SOURCE  8000 /* connections from one source address, well below the ephemeral range */
#define GIVE_UP_NS  15000000000ull /* no answer from anybody for so long ends a phase */
#define SETTLE_NS   500000000ull   /* after a look at /proc that kept us from our sockets */
#define COMPLAINTS  5

struct connection {
    int fd; /* -1 when closed after an error */
    bool waiting;
    uint32_t random;
    uint64_t sent_at;
    uint64_t answers; /* in the measured time */
};

static struct load_options o = {
    .connections = 64, .warmup = 1, .seconds = 4, .shortest = 64, .longest = 256
};
static const struct load_protocol *protocol;

static struct connection *conns;
static int ep, outstanding;
static bool sending; /* active connections go on after each answer */
static uint64_t answered, errors, unserved;
static uint64_t window_begin = UINT64_MAX, window_end = UINT64_MAX;

/* Latencies in log-linear buckets: 64 to an octave, so each is within 1.6 %. */
#define SUB 64
static uint64_t histogram[64 * SUB], samples, longest_ns;
static double sum_ns;

static void record(uint64_t ns)
{
    unsigned i = (unsigned)ns;

    if (ns >= SUB) {
        unsigned octave = 63 - (unsigned)__builtin_clzll(ns);

        i = (octave - 5) * SUB + (unsigned)(ns >> (octave - 6)) % SUB;
    }
    histogram[i]++;
    samples++;
    sum_ns += (double)ns;
    if (ns > longest_ns)
        longest_ns = ns;
}

static double percentile_us(double p)
{
    uint64_t want = (uint64_t)(p * (double)samples), seen = 0;

    for (unsigned i = 0; i < 64 * SUB; i++) {
        seen += histogram[i];
        if (seen > want) {
            if (i < SUB)
                return i / 1e3;
            /* The middle of the bucket. */
            return (double)((uint64_t)(SUB + i % SUB) << (i / SUB - 1)) * (1 + 0.5 / SUB) / 1e3;
        }
    }
    return 0;
}

void load_complain(int connection, const char *format, ...)
{
    static int said;
    va_list args;

    if (said++ >= COMPLAINTS)
        return;
    fprintf(stderr, "%s: connection %d: ", protocol->name, connection);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static uint32_t next_random(struct connection *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 17;
    c->random ^= c->random << 5;
    return c->random;
}

static void hang_up(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    if (c->waiting)
        outstanding--;
    c->waiting = false;
}

static void fail(struct connection *c)
{
    errors++;
    hang_up(c);
}

static void ask(struct connection *c)
{
    const char *data;
    size_t n = protocol->request((int)(c - conns), next_random(c), &data);
    ssize_t sent;

    c->sent_at = bench_now();
    c->waiting = true;
    outstanding++;
    sent = send(c->fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != (ssize_t)n) {
        load_complain((int)(c - conns), "sent %zd of %zu bytes: %s", sent, n,
                      sent < 0 ? strerror(errno) : "socket full");
        fail(c);
    }
}

static void hear(struct connection *c)
{
    static char buffer[65536];
    int i = (int)(c - conns);
    ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    uint64_t now;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || !c->waiting) {
        load_complain(i, "%s",
                      n < 0    ? strerror(errno)
                      : n == 0 ? "the server closed the connection"
                               : "bytes came without a request");
        fail(c);
        return;
    }
    switch (protocol->answer(i, buffer, (size_t)n)) {
    case 0:
        return;
    case 1:
        break;
    default:
        fail(c);
        return;
    }
    c->waiting = false;
    outstanding--;
    answered++;
    now = bench_now();
    if (now >= window_begin && now < window_end) {
        c->answers++;
        if (c->sent_at >= window_begin)
            record(now - c->sent_at);
    }
    if (sending && i < o.active)
        ask(c);
}

/*
 * Serves the sockets until the clock says so or, with until = 0, until nothing is outstanding.
 * Answers false when all have fallen silent.
 */
static bool turn(uint64_t until)
{
    struct epoll_event events[EVENTS];
    uint64_t last = bench_now(), heard = answered + errors;

    for (;;) {
        uint64_t now = bench_now();
        int timeout = 100;

        if (until ? now >= until : !outstanding)
            return true;
        if (until && until - now < 100000000u)
            timeout = (int)((until - now) / 1000000u);
        if (answered + errors != heard) {
            heard = answered + errors;
            last = now;
        } else if (now - last > GIVE_UP_NS) {
            return false;
        }

        int n = epoll_wait(ep, events, EVENTS, timeout);

        for (int i = 0; i < n; i++) {
            struct connection *c = &conns[events[i].data.u32];

            /* An earlier event of this batch cannot have closed another connection, but a
             * question of ours that failed may have closed this one. */
            if (c->fd >= 0)
                hear(c);
        }
    }
}

static bool connect_one(int i)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)o.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in from = { .sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 +
                                                         (uint32_t)(i / PER_SOURCE)) };
    struct timeval patience = { .tv_sec = 10 };
    struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)i };
    struct connection *c = &conns[i];
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        bench_die("socket: %s (%d connections)", strerror(errno), i);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    /* Without this a bind to port 0 would take a port for itself alone. */
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) ||
        connect(c->fd, (struct sockaddr *)&to, sizeof to)) {
        load_complain(i, "connect: %s", strerror(errno));
        fail(c);
        return false;
    }
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e))
        bench_die("epoll_ctl: %s", strerror(errno));
    return true;
}

static void count_unserved(void)
{
    for (int i = 0; i < o.connections; i++) {
        if (conns[i].fd >= 0 && conns[i].waiting) {
            load_complain(i, "no answer");
            unserved++;
            hang_up(&conns[i]);
        }
    }
}

/* Answers how many are connected and served. */
static int connect_all(void)
{
    int good = 0;

    for (int i = 0; i < o.connections;) {
        int end = i + SETUP_BATCH < o.connections ? i + SETUP_BATCH : o.connections, first = i;

        for (; i < end; i++) {
            if (!connect_one(i))
                return good;
        }
        for (int k = first; k < end; k++)
            ask(&conns[k]);
        turn(0);
        count_unserved();
        for (int k = first; k < end; k++)
            good += conns[k].fd >= 0;
        if (good < end)
            return good;
    }
    return good;
}

static void check_all(void)
{
    for (int i = 0; i < o.connections;) {
        for (int k = 0; k < CHECK_BATCH && i < o.connections; k++, i++) {
            if (conns[i].fd >= 0)
                ask(&conns[i]);
        }
        turn(0);
        count_unserved();
    }
}

static int usage(const char *name)
{
    fprintf(stderr,
            "usage: %s -p port [-P server-pid] [-c connections] [-a active] [-w warm-up seconds]\n"
            "       [-s measured seconds] [-m shortest message] [-M longest message]\n",
            name);
    return 2;
}

static bool parse(int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "p:P:c:a:w:s:m:M:")) != -1) {
        switch (option) {
        case 'p':
            o.port = atoi(optarg);
            break;
        case 'P':
            o.pid = atoi(optarg);
            break;
        case 'c':
            o.connections = atoi(optarg);
            break;
        case 'a':
            o.active = atoi(optarg);
            break;
        case 'w':
            o.warmup = atof(optarg);
            break;
        case 's':
            o.seconds = atof(optarg);
            break;
        case 'm':
            o.shortest = atoi(optarg);
            break;
        case 'M':
            o.longest = atoi(optarg);
            break;
        default:
            return false;
        }
    }
    if (!o.active)
        o.active = o.connections;
    return optind == argc && o.port > 0 && o.port < 65536 && o.connections > 0 && o.active > 0 &&
           o.active <= o.connections && o.warmup >= 0 && o.seconds > 0 && o.shortest > 0 &&
           o.shortest <= o.longest && o.longest <= LOAD_LONGEST_REQUEST;
}

int load_main(int argc, char **argv, const struct load_protocol *p)
{
    protocol = p;
    if (!parse(argc, argv))
        return usage(argv[0]);
    bench_raise_nofile();
    signal(SIGPIPE, SIG_IGN);
    conns = calloc((size_t)o.connections, sizeof *conns);
    ep = epoll_create1(EPOLL_CLOEXEC);
    if (!conns || ep < 0)
        bench_die("epoll_create1: %s", strerror(errno));
    for (int i = 0; i < o.connections; i++)
        conns[i] = (struct connection){ .fd = -1, .random = 2654435761u * (uint32_t)(i + 1) };
    memset(histogram, 0, sizeof histogram);
    protocol->prepare(&o);

    /* Our own memory is touched by now, so what goes from here on goes to connections. */
    long memory = bench_mem_available();
    uint64_t start = bench_now();
    int good = connect_all();
    double setup = (double)(bench_now() - start) / 1e9;
    struct {
        double cpu;
        long voluntary, involuntary;
    } before = { 0 }, after = { 0 };
    uint64_t before_answered, requests = 0, starved = 0, seen, own_cpu = 0;
    double seconds = o.seconds;
    long rss = 0, tables = 0, threads = 0, memory_rest = 0, memory_load = 0;

    if (good < o.connections) {
        /* Those that never got so far are missing answers as well. */
        unserved += (uint64_t)(o.connections - good) - errors;
        goto report;
    }
    usleep(200000);
    memory_rest = memory - bench_mem_available();

    sending = true;
    for (int i = 0; i < o.active; i++)
        ask(&conns[i]);
    if (!turn(bench_now() + (uint64_t)(o.warmup * 1e9) + 1))
        goto silent;
    server_switches(o.pid, &before.voluntary, &before.involuntary);
    before_answered = answered;
    if (!turn(bench_now() + SETTLE_NS))
        goto silent;

    before.cpu = server_cpu(o.pid);
    own_cpu = bench_cpu();
    window_begin = bench_now();
    window_end = window_begin + (uint64_t)(o.seconds * 1e9);
    if (!turn(window_end))
        goto silent;
    window_end = bench_now();
    after.cpu = server_cpu(o.pid);
    own_cpu = bench_cpu() - own_cpu;
    seconds = (double)(window_end - window_begin) / 1e9;

    for (int i = 0; i < o.active; i++) {
        struct connection *c = &conns[i];

        requests += c->answers;
        starved += !c->answers;
        if (c->waiting && window_end - c->sent_at > longest_ns)
            longest_ns = window_end - c->sent_at;
    }
    seen = answered - before_answered;
    server_switches(o.pid, &after.voluntary, &after.involuntary);
    threads = server_status(o.pid, "Threads");
    rss = server_status(o.pid, "VmRSS");
    tables = server_status(o.pid, "VmPTE");
    memory_load = memory - bench_mem_available();

    sending = false;
    turn(0);
    count_unserved();
    check_all();
    goto report;

silent:
    sending = false;
    seen = 0;
    fprintf(stderr, "%s: nobody answers any more\n", protocol->name);
    count_unserved();

report:
    if (!requests)
        seen = 0;
    printf("connections=%d active=%d served=%d setup_s=%.3f requests=%lu seconds=%.3f rps=%.1f "
           "mean_us=%.1f p50_us=%.1f p99_us=%.1f max_us=%.1f errors=%lu unserved=%lu starved=%lu "
           "cpu_s=%.2f cpu_us_per_req=%.3f load_us_per_req=%.3f vcsw_per_req=%.4f "
           "ivcsw_per_req=%.4f threads=%ld "
           "rss_kb=%ld pte_kb=%ld mem_rest_kb=%ld mem_load_kb=%ld\n",
           o.connections, o.active, good, setup, (unsigned long)requests, seconds,
           (double)requests / seconds, samples ? sum_ns / (double)samples / 1e3 : 0,
           percentile_us(0.5), percentile_us(0.99), (double)longest_ns / 1e3, (unsigned long)errors,
           (unsigned long)unserved, (unsigned long)starved, after.cpu - before.cpu,
           requests ? (after.cpu - before.cpu) * 1e6 / (double)requests : 0,
           requests ? (double)own_cpu / 1e3 / (double)requests : 0,
           seen ? (double)(after.voluntary - before.voluntary) / (double)seen : 0,
           seen ? (double)(after.involuntary - before.involuntary) / (double)seen : 0, threads, rss,
           tables, memory_rest, memory_load);
    for (int i = 0; i < o.connections; i++)
        hang_up(&conns[i]);
    return errors || unserved || !requests;
}
