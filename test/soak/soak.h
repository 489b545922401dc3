/*
 * What the parts of the soak share. soak.c runs cycles of connections and measures; plan.c draws what
 * a connection is like; stream.c moves bytes and checks them; ends.c is the register of threads that may
 * be signalled and cancelled, and those that do it; client.c and server.c are the two sides.
 */
#ifndef SOAK_H
#define SOAK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- soak.c: how to run, and the counts of the whole run */

struct settings {
    uint64_t seed;
    int slots; /* connections alive at once */
    /* A cancelled call has transferred nothing: POSIX's rule, broken by glibc before 2.41. The
     * connection of a cancelled thread then goes on with another thread, and no byte may be missing. */
    bool exact;
};

extern struct settings settings;
extern atomic_bool draining; /* no new connections */

/* Ends the process with exit status 1, and one line that says in which connection what was wrong. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

#define MUST(call)                                                                                 \
    do {                                                                                           \
        int error_ = (call);                                                                       \
        if (error_)                                                                                \
            fail("%s: %s", #call, strerror(error_));                                               \
    } while (0)

uint64_t now_ns(void);

/* ---- plan.c */

enum kind {
    ECHO,            /* the client sends a piece and reads it back, and so on */
    IDLE,            /* the same with long pauses of all kinds */
    HALF_CLOSE,      /* the client sends all and shuts down; then the server sends */
    READ_TIMEOUT,    /* SO_RCVTIMEO, and a server that answers late */
    WRITE_TIMEOUT,   /* SO_SNDTIMEO, and a server that reads late */
    DUPLEX,          /* one thread writes, another reads, on one descriptor */
    CANCELLED,       /* the same, and both are cancelled again and again */
    RESET_BY_CLIENT, /* SO_LINGER 0 in the middle */
    RESET_BY_SERVER,
    SERVER_CANCELLED, /* the server's thread is cancelled at any time */
    KINDS
};

extern const char *const kind_names[KINDS];

struct plan {
    uint64_t number; /* of the connection; with the seed it decides everything else */
    enum kind kind;
    bool local;        /* AF_UNIX, not TCP */
    bool restart_only; /* neither side gets a signal that ends system calls */
    uint64_t up, down; /* bytes that the client, the server sends in order */
    uint64_t breaks;   /* after so many bytes a reset comes */
    long pause_us;     /* how long this connection's pauses are */
    uint64_t up_key, down_key;
};

uint64_t mixed(uint64_t x);
struct plan plan_of(uint64_t number);
bool counts(const struct plan *p);

/* A connection's first bytes. */
struct hello {
    uint64_t number;
    uint64_t check;
};

/* The server's answer to the client's end: what it got. */
struct receipt {
    uint64_t bytes, sum;
};

/* ---- ends.c */

/*
 * A thread that takes part. `lock` protects `live`, `thread` and the modes: who holds it may signal and
 * cancel. A signal's number is counted in `sent` before it is sent; the handler copies that to `seen`
 * when it starts. So `seen` catches up with `sent` if, and only if, the last one sent was delivered.
 */
struct end {
    pthread_mutex_t lock;
    pthread_t thread;
    bool live, cancellable, restart_only;
    bool in_use;
    atomic_bool cancelled; /* pthread_cancel has returned */
    atomic_ulong sent[2], seen[2], handled[2];
    uint64_t random;
    const char *role, *doing;
    struct plan plan;
    uint64_t since; /* when the connection began; 0: none */
    uint64_t bytes; /* moved so far */
};

enum { INTERRUPTS, RESTARTS }; /* SIGUSR1 has no SA_RESTART, SIGUSR2 has it */

extern __thread struct end *me;
extern atomic_ulong signals_sent, cancels_sent, interrupted;

void ends_prepare(int most);
struct end *end_enter(const char *role, const struct plan *plan, bool cancellable);
void end_leave(void *unused); /* fit for pthread_cleanup_push */
void end_settle(void);        /* every signal that was sent to this thread has been handled */
void end_begin(const struct plan *plan);
void monkeys_start(void);
void monkeys_stop(void);
void ends_look(double patience); /* fails if a connection takes longer than that, in seconds */

/* ---- stream.c */

struct stream {
    int fd;
    uint64_t key;
    uint64_t offset; /* bytes that went through */
    uint64_t sum;
    bool timeouts; /* EAGAIN and EINTR are to be expected here, whatever SA_RESTART says */
    uint64_t timeout_ns;
};

enum { PIECE = 8192 };

/* Reads up to most bytes in one call, checks and counts them; 0 at the end, or -errno. */
ssize_t stream_take(struct stream *s, void *buffer, size_t most);
/* Sends up to most bytes of the pattern in one call and counts what went. */
ssize_t stream_give(struct stream *s, size_t most);
/* As many calls as it takes, until that offset; 0, or -errno (-EPIPE for an early end). EAGAIN goes on, if expected. */
int stream_take_all(struct stream *s, uint64_t until);
int stream_give_all(struct stream *s, uint64_t until);
/* Bytes without a pattern, such as hello and receipt. */
int raw_take(int fd, void *data, size_t n, bool timeouts);
int raw_give(int fd, const void *data, size_t n);
void pause_somehow(int fd, long us);
uint64_t dice(void);
void close_with_reset(int fd);

/* ---- client.c, server.c */

struct totals {
    atomic_ulong connections[KINDS];
    atomic_ulong sent, received;  /* of connections that end in order: by clients, by servers */
    atomic_ulong returned, taken; /* the same the other way: by servers, by clients */
    atomic_ulong broken, timeouts, accepted, cancelled;
    atomic_int servers; /* server threads alive */
};

extern struct totals totals;

void *client_slot(void *slot);
void servers_start(void);
void servers_stop(void);
int server_address(bool local, void *address); /* its length */
/* Makes a thread with a small stack. */
pthread_t thread_start(void *(*body)(void *), void *argument);

#endif
