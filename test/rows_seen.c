/* Functions that neither block nor are passed on to libc: what goes wrong under raddle when a call of
 * one goes to libc instead. Each is looked up by its name and does its part; the test goes on with
 * raddle's other functions, which must agree. See rows.c.
 *
 * Some have nothing to show. libc's function does the same to the same words of memory (sem_trywait,
 * mutex and spin trylock, pthread_spin_unlock, pthread_setcancelstate, initialisers and destructors),
 * or raddle's only gives the proc on earlier (open, creat, pread, pwrite and their other names; pause), or
 * it matters where main happens to run (kill). They are here as far as they have an effect at all;
 * interface.py knows that they are ours. */
#include "programs/check.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <threads.h>

#include "rows.h"

/* Returns twice, so it cannot be called through a pointer. */
extern pid_t other_vfork(void) __asm__("__vfork") __attribute__((returns_twice));

atomic_int stage;

void wait_stage(int n)
{
    while (stage < n) {
        usleep(500);
    }
}

pthread_t waiter(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    stage = 0;
    OK(pthread_create(&thread, NULL, body, argument));
    wait_stage(1);
    usleep(20000);
    return thread;
}

void *stay(void *argument)
{
    stage = 1;
    wait_stage(2);
    return argument;
}

/* ---- descriptors: raddle remembers that an accepted connection blocks ---- */

static int connection[2];

static void accepted(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t len = sizeof address;
    int listener = (int)SYS(socket(AF_INET, SOCK_STREAM, 0));

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SYS(bind(listener, (struct sockaddr *)&address, len));
    SYS(getsockname(listener, (struct sockaddr *)&address, &len));
    SYS(listen(listener, 5));
    connection[1] = (int)SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(connect(connection[1], (struct sockaddr *)&address, len));
    connection[0] = (int)SYS(accept(listener, NULL, NULL));
}

static void expect_would_block(int fd)
{
    char byte;

    CHECK(recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN);
}

static void make_nonblocking(anything *function)
{
    accepted();
    SYS(CALL(int (*)(int, int, ...), connection[0], F_SETFL, O_NONBLOCK));
    expect_would_block(connection[0]);
}

static void make_nonblocking_by_ioctl(anything *function)
{
    int on = 1;

    accepted();
    SYS(CALL(int (*)(int, unsigned long, ...), connection[0], FIONBIO, &on));
    expect_would_block(connection[0]);
}

static void change_a_duplicate(anything *function)
{
    int copy;

    accepted();
    copy = (int)SYS(CALL(int (*)(int, int, int), connection[0], connection[0] + 10, 0));
    SYS(fcntl(copy, F_SETFL, O_NONBLOCK));
    expect_would_block(connection[0]);
}

static void change_in_a_child(anything *function)
{
    pid_t child;
    int status;

    accepted();
    child = (pid_t)SYS(CALL(pid_t(*)(void)));
    if (child == 0) {
        _exit(fcntl(connection[0], F_SETFL, O_NONBLOCK) < 0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    expect_would_block(connection[0]);
}

static void change_in_a_vfork_child(anything *function)
{
    pid_t child;
    int status;

    accepted();
    if (function == (anything *)vfork) {
        child = vfork();
    } else {
        child = other_vfork();
    }
    if (child == 0) {
        /* Not through the library, whose memory the child shares. */
        int on = 1;
        long r;
        __asm__ volatile("syscall"
                         : "=a"(r)
                         : "0"(SYS_ioctl), "D"(connection[0]), "S"(FIONBIO), "d"(&on)
                         : "rcx", "r11", "memory");
        _exit(r != 0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    expect_would_block(connection[0]);
}

static void number_used_again(int number)
{
    int pair[2];

    SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
    CHECK(pair[0] == number || pair[1] == number);
    expect_would_block(number);
}

static void close_one(anything *function)
{
    accepted();
    SYS(CALL(int (*)(int), connection[0]));
    number_used_again(connection[0]);
}

static void close_several(anything *function)
{
    accepted();
    /* close_range(2) and closefrom(3): the accepted descriptor is the last one. */
    CALL(int (*)(int, int, int), connection[0], connection[0], 0);
    number_used_again(connection[0]);
}

/* ---- objects: a thread waits, the function must reach it ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static cnd_t cnd;
static mtx_t mtx;

static void *lock_mutex(void *argument)
{
    stage = 1;
    OK(pthread_mutex_lock(&mutex));
    OK(pthread_mutex_unlock(&mutex));
    return argument;
}

static void unlock_for_a_waiter(anything *function)
{
    pthread_t thread;

    OK(pthread_mutex_lock(&mutex));
    thread = waiter(lock_mutex, NULL);
    OK(CALL(int (*)(void *), &mutex));
    OK(pthread_join(thread, NULL));
}

static void *lock_rwlock(void *argument)
{
    stage = 1;
    OK(pthread_rwlock_wrlock(&rwlock));
    OK(pthread_rwlock_unlock(&rwlock));
    return argument;
}

static void unlock_rwlock_for_a_waiter(anything *function)
{
    pthread_t thread;

    OK(pthread_rwlock_rdlock(&rwlock));
    thread = waiter(lock_rwlock, NULL);
    OK(CALL(int (*)(void *), &rwlock));
    OK(pthread_join(thread, NULL));
}

/* Held by us while the waiter wants it: busy for the trying one, and had for the waiter. */
static void try_read(anything *function)
{
    pthread_t thread;

    OK(pthread_rwlock_wrlock(&rwlock));
    CHECK_EQ(CALL(int (*)(void *), &rwlock), EBUSY);
    OK(pthread_rwlock_unlock(&rwlock));
    OK(CALL(int (*)(void *), &rwlock));
    CHECK_EQ(pthread_rwlock_trywrlock(&rwlock), EBUSY);
    thread = waiter(lock_rwlock, NULL);
    OK(pthread_rwlock_unlock(&rwlock));
    OK(pthread_join(thread, NULL));
}

static void try_write(anything *function)
{
    pthread_t thread;

    OK(pthread_rwlock_rdlock(&rwlock));
    CHECK_EQ(CALL(int (*)(void *), &rwlock), EBUSY);
    OK(pthread_rwlock_unlock(&rwlock));
    OK(CALL(int (*)(void *), &rwlock));
    CHECK_EQ(pthread_rwlock_tryrdlock(&rwlock), EBUSY);
    thread = waiter(lock_rwlock, NULL);
    OK(pthread_rwlock_unlock(&rwlock));
    OK(pthread_join(thread, NULL));
}

static void *wait_cnd(void *argument)
{
    CHECK_EQ(mtx_lock(&mtx), thrd_success);
    stage = 1;
    while (stage == 1) {
        CHECK_EQ(cnd_wait(&cnd, &mtx), thrd_success);
    }
    CHECK_EQ(mtx_unlock(&mtx), thrd_success);
    return argument;
}

static void wake_cnd(anything *function)
{
    pthread_t thread;

    CHECK_EQ(mtx_init(&mtx, mtx_plain), thrd_success);
    CHECK_EQ(cnd_init(&cnd), thrd_success);
    thread = waiter(wait_cnd, NULL);
    CHECK_EQ(mtx_lock(&mtx), thrd_success);
    stage = 2;
    CHECK_EQ(mtx_unlock(&mtx), thrd_success);
    CHECK_EQ(CALL(int (*)(void *), &cnd), thrd_success);
    OK(pthread_join(thread, NULL));
}

/* ---- threads ---- */

static void detach(anything *function)
{
    pthread_t thread = waiter(stay, NULL);

    CHECK_EQ(CALL(int (*)(pthread_t), thread), 0);
    CHECK_EQ(pthread_join(thread, NULL), EINVAL);
}

static void *stack_size(void *argument)
{
    pthread_attr_t attr;

    OK(pthread_getattr_np(pthread_self(), &attr));
    OK(pthread_attr_getstacksize(&attr, argument));
    return argument;
}

/* ---- cancellation ---- */

static char fifo[64];

static void *open_fifo(void *function)
{
    stage = 1;
    /* open and creat; openat has the directory first. */
    if (strstr(fifo, "openat")) {
        CALL(int (*)(int, const char *, int, int), AT_FDCWD, fifo, O_WRONLY, 0600);
    } else {
        CALL(int (*)(const char *, int, int), fifo, strstr(fifo, "creat") ? 0600 : O_WRONLY, 0600);
    }
    check_failed(__FILE__, __LINE__, "open", 0, "came back");
}

static void cancel_open(anything *function)
{
    void *result;
    pthread_t thread;

    SYS(mkfifo(fifo, 0600));
    thread = waiter(open_fifo, (void *)(uintptr_t)function);
    unlink(fifo);
    OK(pthread_cancel(thread));
    OK(pthread_join(thread, &result));
    CHECK(result == PTHREAD_CANCELED);
}

static void *enable_and_wait(void *function)
{
    sem_t sem;

    SYS(sem_init(&sem, 0, 0));
    OK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL));
    stage = 1;
    wait_stage(2);
    OK(CALL(int (*)(int, int *), PTHREAD_CANCEL_ENABLE, NULL));
    sem_wait(&sem);
    check_failed(__FILE__, __LINE__, "sem_wait", 0, "came back");
}

static void cancel_disabled(anything *function)
{
    void *result;
    pthread_t thread = waiter(enable_and_wait, (void *)(uintptr_t)function);

    OK(pthread_cancel(thread));
    usleep(10000);
    stage = 2;
    OK(pthread_join(thread, &result));
    CHECK(result == PTHREAD_CANCELED);
}

static void set_default(anything *function)
{
    pthread_attr_t attr;
    pthread_t thread;
    size_t size;

    OK(pthread_attr_init(&attr));
    OK(pthread_attr_setstacksize(&attr, 512 << 10));
    OK(CALL(int (*)(const pthread_attr_t *), &attr));
    OK(pthread_create(&thread, NULL, stack_size, &size));
    OK(pthread_join(thread, NULL));
    CHECK(size >= 512 << 10 && size < 2 << 20);
}

static const struct {
    const char *name;
    void (*test)(anything *);
} seen[] = {
    { "fcntl", make_nonblocking },
    { "fcntl64", make_nonblocking },
    { "__fcntl", make_nonblocking },
    { "ioctl", make_nonblocking_by_ioctl },
    { "dup", change_a_duplicate },
    { "dup2", change_a_duplicate },
    { "__dup2", change_a_duplicate },
    { "dup3", change_a_duplicate },
    { "fork", change_in_a_child },
    { "__fork", change_in_a_child },
    { "__libc_fork", change_in_a_child },
    { "vfork", change_in_a_vfork_child },
    { "__vfork", change_in_a_vfork_child },
    { "close", close_one },
    { "__close", close_one },
    { "close_range", close_several },
    { "closefrom", close_several },
    { "pthread_mutex_unlock", unlock_for_a_waiter },
    { "__pthread_mutex_unlock", unlock_for_a_waiter },
    { "mtx_unlock", unlock_for_a_waiter },
    { "pthread_rwlock_unlock", unlock_rwlock_for_a_waiter },
    { "__pthread_rwlock_unlock", unlock_rwlock_for_a_waiter },
    { "pthread_rwlock_tryrdlock", try_read },
    { "__pthread_rwlock_tryrdlock", try_read },
    { "pthread_rwlock_trywrlock", try_write },
    { "__pthread_rwlock_trywrlock", try_write },
    { "cnd_signal", wake_cnd },
    { "cnd_broadcast", wake_cnd },
    { "thrd_detach", detach },
    { "pthread_detach", detach },
    { "pthread_setattr_default_np", set_default },
    { "pthread_setcancelstate", cancel_disabled },
    { "open", cancel_open },
    { "open64", cancel_open },
    { "__open", cancel_open },
    { "__open64", cancel_open },
    { "openat", cancel_open },
    { "openat64", cancel_open },
    { "creat", cancel_open },
    { "creat64", cancel_open },
    { "sigaction", set_action },
    { "__sigaction", set_action },
    { "signal", set_handler },
    { "bsd_signal", set_handler },
    { "ssignal", set_handler },
    { "sysv_signal", set_handler_once },
    { "__sysv_signal", set_handler_once },
    { "siginterrupt", set_interrupting },
    { "sigprocmask", set_mask },
    { "raise", raise_in_a_thread },
    { "gsignal", raise_in_a_thread },
    { "tgkill", tgkill_in_a_thread },
    { "kill", kill_from_main },
    { "pthread_sigqueue", queue_a_value },
    { "sigwait", take_pending },
    { "sigwaitinfo", take_pending },
    { "sigsuspend", take_pending },
    { "__sigsuspend", take_pending },
    { "pause", cancel_pause },
};

enum { COUNT = sizeof seen / sizeof seen[0] };

void list_seen(void)
{
    for (int i = 0; i < COUNT; i++) {
        puts(seen[i].name);
    }
}

static void *nothing(void *argument)
{
    return argument;
}

int see(const char *name)
{
    pthread_t thread;
    anything *function = (anything *)(uintptr_t)dlsym(RTLD_DEFAULT, name);
    int row = 0;

    while (row < COUNT && strcmp(seen[row].name, name) != 0) {
        row++;
    }
    CHECK(row < COUNT && function != NULL);
    /* From here on main is a fiber. */
    OK(pthread_create(&thread, NULL, nothing, NULL));
    OK(pthread_join(thread, NULL));
    snprintf(fifo, sizeof fifo, "/tmp/rows-%d-%s", (int)getpid(), name);
    seen[row].test(function);
    _exit(0);
}
