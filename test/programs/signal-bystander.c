/* Signals for some threads, caught without SA_RESTART, end no call of others: those that were sent none wait
 * in calls that are never restarted after a handler (signal(7)) and in calls that are, made by libc's functions,
 * by syscall(2) and by the instruction itself, and none of them ever fails with EINTR. */
#include "check.h"

#include <aio.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define VICTIMS 6
#define ROUNDS  200

static atomic_int stop, running;
static _Atomic long handled;
static volatile unsigned sink;
static const struct timespec brief = { 0, 200000 };

static void handler(int sig)
{
    (void)sig;
    handled++;
}

/* Runs, lets others run, and waits, in turns: its kernel thread, if it shares one, soon runs somebody else. */
static void *victim(void *arg)
{
    for (unsigned n = 0; !atomic_load_explicit(&stop, memory_order_relaxed); n++) {
        for (unsigned i = 0; i < n % 1024; i++) {
            sink = i;
        }
        sched_yield();
        if (n % 64 == 0) {
            usleep(20);
        }
    }
    return arg;
}

static void raw_nanosleep(void)
{
    SYS(syscall(SYS_nanosleep, &brief, NULL));
}

static void raw_clock_nanosleep(void)
{
    SYS(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &brief, NULL));
}

static void raw_poll(void)
{
    CHECK_EQ(SYS(syscall(SYS_poll, NULL, 0, 1)), 0);
}

static void raw_ppoll(void)
{
    struct timespec t = brief;
    CHECK_EQ(SYS(syscall(SYS_ppoll, NULL, 0, &t, NULL, 8)), 0);
}

static void raw_select(void)
{
    struct timespec t = brief;
    CHECK_EQ(SYS(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &t, NULL)), 0);
}

static void raw_epoll(void)
{
    static _Thread_local int ep = -1;
    struct epoll_event e;
    if (ep < 0) {
        ep = SYS(epoll_create1(0));
    }
    CHECK_EQ(SYS(syscall(SYS_epoll_pwait, ep, &e, 1, 1, NULL, 8)), 0);
}

static int new_semaphores(void)
{
    int id = semget(IPC_PRIVATE, 1, 0600);
    if (id < 0) {
        SKIP("no System V semaphores");
    }
    return id;
}

static int semaphores, other_semaphores, messages;

static void raw_semaphore(void)
{
    struct sembuf down = { 0, -1, 0 };
    FAILS(syscall(SYS_semtimedop, semaphores, &down, 1, &brief), EAGAIN);
}

static void semaphore(void)
{
    struct sembuf down = { 0, -1, 0 };
    FAILS(semtimedop(other_semaphores, &down, 1, &brief), EAGAIN);
}

static void message(void)
{
    struct {
        long type;
        char text;
    } m;
    CHECK_EQ(SYS(msgrcv(messages, &m, 1, 0, 0)), 1);
}

static void raw_receive(void)
{
    static _Thread_local int pair[2];
    char byte;
    if (!pair[1]) {
        struct timeval t = { 0, 1000 };
        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
        SYS(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    }
    FAILS(syscall(SYS_recvfrom, pair[0], &byte, 1, 0, NULL, NULL), EAGAIN);
}

static int fed[2], ball[2], ball_back[2], lock_fd;

static void raw_read(void)
{
    char byte;
    CHECK_EQ(SYS(syscall(SYS_read, fed[0], &byte, 1)), 1);
}

static void waits_for_aio(void)
{
    static _Thread_local struct aiocb request;
    static _Thread_local int idle[2];
    static _Thread_local char byte;
    const struct aiocb *list[] = { &request };
    if (!idle[1]) {
        SYS(pipe(idle));
        request = (struct aiocb){ .aio_fildes = idle[0], .aio_buf = &byte, .aio_nbytes = 1 };
        SYS(aio_read(&request));
    }
    FAILS(aio_suspend(list, 1, &brief), EAGAIN);
}

static void locks(void)
{
    static _Thread_local int fd;
    if (!fd) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", lock_fd);
        fd = SYS(open(path, O_RDWR));
    }
    SYS(flock(fd, LOCK_EX));
    usleep(100);
    SYS(flock(fd, LOCK_UN));
}

static void waits_for_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    FAILS(sigtimedwait(&set, NULL, &brief), EAGAIN);
}

/* Two threads that hand each other a byte. */
static void by_instruction(int from, int to)
{
    char byte = 0;
    for (int i = 0; i < 50; i++) {
        long result;
#ifdef __x86_64__
        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "a"(SYS_read), "D"(from), "S"(&byte), "d"(1)
                         : "rcx", "r11", "memory");
#else
        result = read(from, &byte, 1);
#endif
        CHECK_EQ(result, 1);
        CHECK_EQ(write(to, &byte, 1), 1);
    }
}

static void ping(void)
{
    by_instruction(ball[0], ball_back[1]);
}

static void pong(void)
{
    by_instruction(ball_back[0], ball[1]);
}

static void (*const kinds[])(void) = {
    raw_nanosleep,
    raw_clock_nanosleep,
    raw_poll,
    raw_ppoll,
    raw_select,
    raw_epoll,
    raw_semaphore,
    semaphore,
    message,
    raw_receive,
    raw_read,
    waits_for_aio,
    locks,
    locks,
    waits_for_signal,
    ping,
    pong,
};
#define KINDS ((int)(sizeof kinds / sizeof *kinds))

static void *bystander(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        ((void (*)(void))arg)();
    }
    running--;
    return NULL;
}

static void *feeder(void *arg)
{
    struct {
        long type;
        char text;
    } m = { 1, 'm' };
    for (int i = 0; i < ROUNDS; i++) {
        usleep(200);
        SYS(write(fed[1], "x", 1));
        SYS(msgsnd(messages, &m, 1, 0));
    }
    return arg;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler };
    pthread_t victims[VICTIMS], bystanders[KINDS], feeds;
    char path[] = "/tmp/bystander-XXXXXX";
    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    semaphores = new_semaphores();
    other_semaphores = new_semaphores();
    messages = SYS(msgget(IPC_PRIVATE, 0600));
    SYS(pipe(fed));
    SYS(pipe(ball));
    SYS(pipe(ball_back));
    SYS(write(ball[1], "x", 1));
    lock_fd = SYS(mkstemp(path));
    running = KINDS;
    for (int i = 0; i < KINDS; i++) {
        bystanders[i] = start(bystander, (void *)kinds[i]);
    }
    for (int i = 0; i < VICTIMS; i++) {
        victims[i] = start(victim, NULL);
    }
    feeds = start(feeder, NULL);
    for (int i = 0; running; i++) {
        OK(pthread_kill(victims[i % VICTIMS], SIGUSR1));
    }
    stop = 1;
    for (int i = 0; i < KINDS; i++) {
        finish(bystanders[i]);
    }
    for (int i = 0; i < VICTIMS; i++) {
        finish(victims[i]);
    }
    finish(feeds);
    SYS(semctl(semaphores, 0, IPC_RMID));
    SYS(semctl(other_semaphores, 0, IPC_RMID));
    SYS(msgctl(messages, IPC_RMID, NULL));
    SYS(unlink(path));
    CHECK(handled > 0);
    puts("nobody else was interrupted");
    return 0;
}
