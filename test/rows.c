/*
 * One function of the interface at a time, run with the library only; see rows.py.
 *
 *     rows blocked NAME    many threads block in NAME; how many kernel threads does that take?
 *     rows passed          call every function that raddle passes on to libc; the statistics count
 *
 * Functions are looked up by name, so that the aliases that only libc's own headers or old programs
 * use are called as well. A blocked program ends by _exit: nothing is ever woken.
 */
#include "programs/check.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <threads.h>

#include "rows.h"

enum { THREADS = 24 };

static void (*function)(void);
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static once_flag flag = ONCE_FLAG_INIT;
static pthread_barrier_t barrier;
static pthread_spinlock_t spin;
static sem_t sem;
static mtx_t mtx;
static cnd_t cnd;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int empty[2], full[2], silent[2], stuffed[2], listener, epoll;
static struct sockaddr_in address;
static struct timespec far, later = { .tv_sec = 1000 };
static atomic_int entered;

#define CALL(type, ...) ((type)(uintptr_t)function)(__VA_ARGS__)

typedef int pointer_call(void *);
typedef int timed_call(void *, const struct timespec *);
typedef int clocked_call(void *, clockid_t, const struct timespec *);

/* ---- how to block in each kind of function ---- */

static void object(void *lock)
{
    CALL(pointer_call *, lock);
}

static void object_timed(void *lock)
{
    CALL(timed_call *, lock, &far);
}

static void object_clocked(void *lock)
{
    CALL(clocked_call *, lock, CLOCK_REALTIME, &far);
}

static void condition(void *c)
{
    pthread_mutex_t mine = PTHREAD_MUTEX_INITIALIZER;

    OK(pthread_mutex_lock(&mine));
    CALL(int (*)(void *, void *), c, &mine);
}

static void condition_timed(void *c)
{
    pthread_mutex_t mine = PTHREAD_MUTEX_INITIALIZER;

    OK(pthread_mutex_lock(&mine));
    CALL(int (*)(void *, void *, const struct timespec *), c, &mine, &far);
}

static void condition_clocked(void *c)
{
    pthread_mutex_t mine = PTHREAD_MUTEX_INITIALIZER;

    OK(pthread_mutex_lock(&mine));
    CALL(int (*)(void *, void *, clockid_t, const struct timespec *), c, &mine, CLOCK_REALTIME,
         &far);
}

static void for_ever(void)
{
    for (;;) {
        sleep(1000);
    }
}

static void only_once(void *control)
{
    CALL(int (*)(void *, void (*)(void)), control, for_ever);
}

static void *sleeper(void *argument)
{
    for_ever();
    return argument;
}

static pthread_t other(void)
{
    pthread_t thread;

    OK(pthread_create(&thread, NULL, sleeper, NULL));
    return thread;
}

static void join(void *unused)
{
    (void)unused;
    CALL(int (*)(pthread_t, void *), other(), NULL);
}

static void join_timed(void *unused)
{
    (void)unused;
    CALL(int (*)(pthread_t, void *, const struct timespec *), other(), NULL, &far);
}

static void join_clocked(void *unused)
{
    (void)unused;
    CALL(int (*)(pthread_t, void *, clockid_t, const struct timespec *), other(), NULL,
         CLOCK_REALTIME, &far);
}

static void yield(void *unused)
{
    (void)unused;
    for (;;) {
        CALL(int (*)(void));
    }
}

static void seconds(void *unused)
{
    (void)unused;
    CALL(unsigned (*)(unsigned), 1000);
}

static void microseconds(void *unused)
{
    (void)unused;
    CALL(int (*)(useconds_t), 1000000000);
}

static void pause_for(void *unused)
{
    (void)unused;
    CALL(int (*)(const struct timespec *, void *), &later, NULL);
}

static void pause_on_clock(void *unused)
{
    (void)unused;
    CALL(int (*)(clockid_t, int, const struct timespec *, void *), CLOCK_MONOTONIC, 0, &later,
         NULL);
}

static void io(void *ends)
{
    static char block[1 << 20];
    int fd = ends == full || ends == stuffed ? ((int *)ends)[1] : ((int *)ends)[0];

    CALL(ssize_t (*)(int, void *, size_t, long, void *, void *), fd, block, sizeof block, 0, NULL,
         NULL);
}

/* With the size of the buffer, which the fortified names check. */
static void io_checked(void *ends)
{
    static char block[64];

    CALL(ssize_t (*)(int, void *, size_t, size_t, long, void *, void *), *(int *)ends, block,
         sizeof block, sizeof block, 0, NULL, NULL);
}

static void io_vector(void *ends)
{
    static char block[1 << 20];
    struct iovec iov = { block, sizeof block };
    int fd = ends == full ? full[1] : ((int *)ends)[0];

    CALL(ssize_t (*)(int, const struct iovec *, int), fd, &iov, 1);
}

static void message(void *ends)
{
    static char block[1 << 20];
    struct iovec iov = { block, sizeof block };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    int fd = ends == stuffed ? stuffed[1] : ((int *)ends)[0];

    CALL(ssize_t (*)(int, struct msghdr *, int), fd, &msg, 0);
}

static void accepting(void *unused)
{
    (void)unused;
    CALL(int (*)(int, void *, void *, int), listener, NULL, NULL, 0);
}

static void connecting(void *unused)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)unused;
    SYS(fd);
    CALL(int (*)(int, void *, socklen_t), fd, &address, sizeof address);
}

static void polling(void *unused)
{
    struct pollfd fd = { .fd = empty[0], .events = POLLIN };

    (void)unused;
    CALL(int (*)(struct pollfd *, nfds_t, int, size_t), &fd, 1, -1, sizeof fd);
}

static void polling_masked(void *unused)
{
    struct pollfd fd = { .fd = empty[0], .events = POLLIN };

    (void)unused;
    CALL(int (*)(struct pollfd *, nfds_t, void *, void *, size_t), &fd, 1, NULL, NULL, sizeof fd);
}

static void selecting(void *unused)
{
    fd_set set;

    (void)unused;
    FD_ZERO(&set);
    FD_SET(empty[0], &set);
    CALL(int (*)(int, fd_set *, void *, void *, void *, void *), empty[0] + 1, &set, NULL, NULL,
         NULL, NULL);
}

static void epolling(void *unused)
{
    struct epoll_event event;

    (void)unused;
    CALL(int (*)(int, struct epoll_event *, int, int, void *), epoll, &event, 1, -1, NULL);
}

static void futex(void *unused)
{
    static uint32_t word;

    (void)unused;
    CALL(long (*)(long, ...), SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static const struct {
    const char *name;
    void (*block)(void *);
    void *argument;
} blocked[] = {
    { "pthread_mutex_lock", object, &held },
    { "__pthread_mutex_lock", object, &held },
    { "pthread_mutex_timedlock", object_timed, &held },
    { "pthread_mutex_clocklock", object_clocked, &held },
    { "mtx_lock", object, &mtx },
    { "mtx_timedlock", object_timed, &mtx },
    { "pthread_cond_wait", condition, &cond },
    { "pthread_cond_timedwait", condition_timed, &cond },
    { "pthread_cond_clockwait", condition_clocked, &cond },
    { "cnd_wait", condition, &cnd },
    { "cnd_timedwait", condition_timed, &cnd },
    { "pthread_rwlock_rdlock", object, &rwlock },
    { "__pthread_rwlock_rdlock", object, &rwlock },
    { "pthread_rwlock_timedrdlock", object_timed, &rwlock },
    { "pthread_rwlock_clockrdlock", object_clocked, &rwlock },
    { "pthread_rwlock_wrlock", object, &rwlock },
    { "__pthread_rwlock_wrlock", object, &rwlock },
    { "pthread_rwlock_timedwrlock", object_timed, &rwlock },
    { "pthread_rwlock_clockwrlock", object_clocked, &rwlock },
    { "pthread_barrier_wait", object, &barrier },
    { "pthread_once", only_once, &once },
    { "__pthread_once", only_once, &once },
    { "call_once", only_once, &flag },
    { "pthread_spin_lock", object, (void *)&spin },
    { "sem_wait", object, &sem },
    { "sem_timedwait", object_timed, &sem },
    { "sem_clockwait", object_clocked, &sem },
    { "pthread_create", object, NULL }, /* sleeps; see body */
    { "thrd_create", object, NULL },
    { "pthread_join", join, NULL },
    { "pthread_timedjoin_np", join_timed, NULL },
    { "pthread_clockjoin_np", join_clocked, NULL },
    { "thrd_join", join, NULL },
    { "sched_yield", yield, NULL },
    { "__sched_yield", yield, NULL },
    { "pthread_yield", yield, NULL },
    { "thrd_yield", yield, NULL },
    { "sleep", seconds, NULL },
    { "usleep", microseconds, NULL },
    { "nanosleep", pause_for, NULL },
    { "__nanosleep", pause_for, NULL },
    { "thrd_sleep", pause_for, NULL },
    { "clock_nanosleep", pause_on_clock, NULL },
    { "__clock_nanosleep", pause_on_clock, NULL },
    { "read", io, empty },
    { "__read", io, empty },
    { "__read_chk", io_checked, empty },
    { "readv", io_vector, empty },
    { "write", io, full },
    { "__write", io, full },
    { "writev", io_vector, full },
    { "recv", io, silent },
    { "__recv_chk", io_checked, silent },
    { "recvfrom", io, silent },
    { "__recvfrom_chk", io_checked, silent },
    { "recvmsg", message, silent },
    { "send", io, stuffed },
    { "__send", io, stuffed },
    { "sendto", io, stuffed },
    { "sendmsg", message, stuffed },
    { "accept", accepting, NULL },
    { "accept4", accepting, NULL },
    { "connect", connecting, NULL },
    { "__connect", connecting, NULL },
    { "poll", polling, NULL },
    { "__poll", polling, NULL },
    { "__poll_chk", polling, NULL },
    { "ppoll", polling_masked, NULL },
    { "__ppoll_chk", polling_masked, NULL },
    { "select", selecting, NULL },
    { "__select", selecting, NULL },
    { "pselect", selecting, NULL },
    { "epoll_wait", epolling, NULL },
    { "epoll_pwait", epolling, NULL },
    { "syscall", futex, NULL },
};

enum { COUNT = sizeof blocked / sizeof blocked[0] };

static void *body(void *argument)
{
    int row = (int)(intptr_t)argument;

    entered++;
    if (strstr(blocked[row].name, "_create")) {
        for_ever();
    }
    blocked[row].block(blocked[row].argument);
    check_failed(__FILE__, __LINE__, blocked[row].name, 0, "came back");
}

static int body_c11(void *argument)
{
    body(argument);
    return 0;
}

static int kernel_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int n = 0;

    CHECK(tasks != NULL);
    while (readdir(tasks)) {
        n++;
    }
    closedir(tasks);
    return n - 2;
}

static void fill(int fd)
{
    static char block[1 << 16];
    struct iovec iov = { block, sizeof block };
    int flags = fcntl(fd, F_GETFL);

    SYS(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
    while (writev(fd, &iov, 1) > 0) {
    }
    iov.iov_len = 1;
    while (writev(fd, &iov, 1) > 0) {
    }
    SYS(fcntl(fd, F_SETFL, flags));
}

/* A listener that has no room: further connections wait for an answer. */
static void prepare_listener(void)
{
    socklen_t len = sizeof address;

    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = (int)SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(bind(listener, (struct sockaddr *)&address, len));
    SYS(getsockname(listener, (struct sockaddr *)&address, &len));
    SYS(listen(listener, 0));
}

static void prepare(void)
{
    SYS(clock_gettime(CLOCK_REALTIME, &far));
    far.tv_sec += 1000;
    OK(pthread_mutex_lock(&held));
    OK(pthread_rwlock_wrlock(&rwlock));
    OK(pthread_barrier_init(&barrier, NULL, THREADS + 1));
    OK(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE));
    OK(pthread_spin_lock(&spin));
    SYS(sem_init(&sem, 0, 0));
    CHECK_EQ(mtx_init(&mtx, mtx_timed), thrd_success);
    CHECK_EQ(mtx_lock(&mtx), thrd_success);
    CHECK_EQ(cnd_init(&cnd), thrd_success);
    SYS(pipe(empty));
    SYS(pipe(full));
    fill(full[1]);
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, silent));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, stuffed));
    fill(stuffed[1]);
    prepare_listener();
    epoll = (int)SYS(epoll_create1(0));
}

static int block_in(const char *name)
{
    int row = 0, most = 0;
    pthread_attr_t attr;

    while (row < COUNT && strcmp(blocked[row].name, name) != 0) {
        row++;
    }
    CHECK(row < COUNT);
    function = (void (*)(void))dlsym(RTLD_DEFAULT, name);
    CHECK(function != NULL);
    prepare();
    if (blocked[row].block == connecting) {
        for (int i = 0; i < 3; i++) {
            int fd = (int)SYS(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));

            connect(fd, (struct sockaddr *)&address, sizeof address);
        }
    }
    OK(pthread_attr_init(&attr));
    OK(pthread_attr_setstacksize(&attr, 256 << 10));
    for (int i = 0; i < THREADS; i++) {
        void *argument = (void *)(intptr_t)row;
        pthread_t thread;
        thrd_t c11;

        if (strcmp(name, "thrd_create") == 0) {
            CHECK_EQ(thrd_create(&c11, body_c11, argument), thrd_success);
        } else {
            OK(pthread_create(&thread, &attr, body, argument));
        }
    }
    while (entered < THREADS) {
        usleep(1000);
    }
    /* Those that entered last may still be on their way. */
    for (int i = 0; i < 20; i++) {
        int n = kernel_threads();

        most = n > most ? n : most;
        usleep(2000);
    }
    printf("%d kernel threads\n", most);
    fflush(stdout);
    _exit(most < THREADS ? 0 : 1);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "blocked") == 0) {
        return block_in(argv[2]);
    }
    if (argc == 2 && strcmp(argv[1], "passed") == 0) {
        return call_passed();
    }
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (int i = 0; i < COUNT; i++) {
            puts(blocked[i].name);
        }
        return 0;
    }
    return 2;
}
