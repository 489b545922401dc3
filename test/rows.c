/*
 * One function of the interface at a time, run with the library only; see rows.py.
 *
 *     rows blocked NAME    many threads block in NAME; how many kernel threads does that take?
 *     rows passed          call every function that raddle passes on to libc; the statistics count
 *     rows seen NAME       call it and see its effect
 *     rows list WHAT       names, of blocked or seen
 *
 * Functions are looked up by name, so that the aliases that only libc's own headers or old programs
 * use are called as well. A blocked program ends by _exit: nothing is ever woken.
 */
#include "programs/check.h"

#include <dirent.h>
#include <dlfcn.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <threads.h>

#include "rows.h"

enum { THREADS = 24 };

anything *function;
const char *row_name;
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
static struct timespec far, later = { .tv_sec = 1000 };
static atomic_int entered;

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
    { "pthread_create", object, NULL }, /* sleeps */
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
    { "epoll_pwait2", epolling, NULL },
    { "splice", splicing, empty },
    { "tee", splicing, empty },
    { "vmsplice", splicing_memory, full },
    { "sendfile", sending_a_file, stuffed },
    { "sendfile64", sending_a_file, stuffed },
    { "recvmmsg", several_messages, silent },
    { "sendmmsg", several_messages, stuffed },
    { "wait", waiting_for_any, NULL },
    { "__wait", waiting_for_any, NULL },
    { "wait3", waiting_for_any, NULL },
    { "waitpid", waiting_for_one, NULL },
    { "__waitpid", waiting_for_one, NULL },
    { "wait4", waiting_for_one, NULL },
    { "waitid", waiting_for_id, NULL },
    { "mq_send", mq_sending, NULL },
    { "mq_timedsend", mq_sending, NULL },
    { "mq_receive", mq_receiving, NULL },
    { "mq_timedreceive", mq_receiving, NULL },
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
    prepare_io();
    prepare_queues();
}

static int block_in(const char *name)
{
    int row = 0, most = 0;
    pthread_attr_t attr;

    while (row < COUNT && strcmp(blocked[row].name, name) != 0) {
        row++;
    }
    CHECK(row < COUNT);
    row_name = name;
    function = (anything *)(uintptr_t)dlsym(RTLD_DEFAULT, name);
    CHECK(function != NULL);
    prepare();
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
    if (argc == 3 && strcmp(argv[1], "seen") == 0) {
        return see(argv[2]);
    }
    if (argc == 3 && strcmp(argv[1], "list") == 0) {
        if (strcmp(argv[2], "seen") == 0) {
            list_seen();
        }
        for (int i = 0; i < COUNT && strcmp(argv[2], "blocked") == 0; i++) {
            puts(blocked[i].name);
        }
        return 0;
    }
    return 2;
}
