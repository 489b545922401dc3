/*
 * The load generator that load.c (TCP echo) and demo/http_load.c (HTTP) share: one process, one
 * epoll set, many connections in a closed loop. A protocol says what to send next and whether what
 * came back is right; loadgen.c keeps the connections, the clock and the histogram, and watch.c looks
 * at the server's process from outside through /proc.
 */
#ifndef PERF_LOADGEN_H
#define PERF_LOADGEN_H

#include "bench.h"

/* A connection waits for at most this many bytes of request to be taken by its socket at once. */
#define LOAD_LONGEST_REQUEST 16384

struct load_options {
    int port;
    pid_t pid;       /* the server, 0 when its process is not to be watched */
    int connections; /* opened and kept open */
    int active;      /* of these so many send without pause */
    double warmup, seconds;
    int shortest, longest; /* bytes of a message or body */
};

struct load_protocol {
    const char *name;

    /* Called once, when the options are known. */
    void (*prepare)(const struct load_options *options);

    /*
     * The next request of a connection. Answers its length and points data at its bytes, which
     * must stay until the next call.
     */
    size_t (*request)(int connection, uint32_t random, const char **data);

    /*
     * Takes n bytes that came in. Answers 1 when the answer is now complete and right, 0 when more
     * must come, and -1 when it is wrong; then complain has been told why.
     */
    int (*answer)(int connection, const char *data, size_t n);
};

/* Explains a wrong answer on standard error; only the first few are printed. */
__attribute__((format(printf, 2, 3))) void load_complain(int connection, const char *format, ...);

/*
 * Parses the command line, runs the load and prints one line of key=value pairs. Answers the exit
 * status: 0, or 1 when an answer was wrong or missing.
 */
int load_main(int argc, char **argv, const struct load_protocol *protocol);

#endif
