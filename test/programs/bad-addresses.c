/*
 * A bad address is EFAULT, not a crash, in the calls where it is so natively; and what is good beside it, or
 * begins on the last bytes of a page, works.
 */
#include "check.h"

#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static int ends[2], pair[2], epfd, file;
static char *edge; /* the first byte of a page that cannot be touched, behind one that can */

#define FAULTS(call) FAILS(call, EFAULT)

static void bad(void *p)
{
    struct timespec brief = { 0, 1000000 };
    struct epoll_event e;
    struct sockaddr_storage addr;
    sigset_t none;
    socklen_t len = sizeof addr;
    char byte;
    struct iovec iov = { p, 4 }, good = { &byte, 1 };
    struct msghdr msg = { .msg_iov = p, .msg_iovlen = 1 };

    sigemptyset(&none);

    FAULTS(poll(p, 1, 10));
    FAULTS(poll(p, 1, 0));
    FAULTS(poll(p, 2, 10));
    FAULTS(ppoll(p, 1, &brief, NULL));
    FAULTS(ppoll(&(struct pollfd){ ends[0], POLLIN, 0 }, 1, &brief, p));
    FAULTS(select(1, p, NULL, NULL, &(struct timeval){ 0, 1000 }));
    FAULTS(select(1, NULL, NULL, p, &(struct timeval){ 0, 1000 }));
    FAULTS(pselect(1, NULL, p, NULL, &brief, NULL));
    FAULTS(pselect(0, NULL, NULL, NULL, &brief, p));
    FAULTS(epoll_pwait(epfd, &e, 1, 1, p));
    FAULTS(epoll_pwait2(epfd, &e, 1, p, NULL));
    FAULTS(sigsuspend(p));
    FAULTS(sigwaitinfo(p, NULL));
    FAULTS(sigtimedwait(&none, NULL, p));

    write_all(ends[1], "abcd", 4);
    FAULTS(read(ends[0], p, 1));
    FAULTS(readv(ends[0], p, 1));
    FAULTS(readv(ends[0], p, 2));
    FAULTS(readv(ends[0], &iov, 1));
    CHECK_EQ(readv(ends[0], &good, 1), 1); /* nothing was taken */
    CHECK_EQ(byte, 'a');
    read_all(ends[0], (char[3]){ 0 }, 3);
    FAULTS(write(ends[1], p, 1));
    FAULTS(writev(ends[1], p, 1));
    FAULTS(writev(ends[1], p, 2));
    FAULTS(readv(file, p, 1));
    FAULTS(writev(file, p, 1));
    FAULTS(preadv(file, p, 1, 0));
    FAULTS(pwritev(file, p, 1, 0));
    FAULTS(preadv(file, p, 2, 0));

    write_all(pair[1], "e", 1);
    FAULTS(recv(pair[0], p, 1, 0));
    FAULTS(readv(pair[0], p, 1));
    FAULTS(recvmsg(pair[0], p, 0));
    FAULTS(recvmsg(pair[0], &msg, 0));
    FAULTS(recvmmsg(pair[0], p, 1, 0, NULL));
    FAULTS(recvmmsg(pair[0], &(struct mmsghdr){ { 0 }, 0 }, 1, 0, p));
    CHECK_EQ(recvfrom(pair[0], &byte, 1, 0, (struct sockaddr *)&addr, &len), 1);
    FAULTS(send(pair[0], p, 1, 0));
    FAULTS(writev(pair[0], p, 1));
    FAULTS(sendmsg(pair[0], p, 0));
    FAULTS(sendmsg(pair[0], &msg, 0));
    FAULTS(sendmmsg(pair[0], p, 1, 0));
    FAILS(sendmsg(-1, p, 0), EBADF);
    FAILS(sendmsg(ends[0], p, 0), ENOTSOCK);

    FAULTS(nanosleep(p, NULL));
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, p, NULL), EFAULT);
    FAULTS(prctl(PR_SET_NAME, p));
    FAULTS(prctl(PR_GET_NAME, p));
    FAULTS(sched_setaffinity(0, sizeof(cpu_set_t), p));
    FAULTS(sched_getaffinity(0, sizeof(cpu_set_t), p));
    FAULTS(sched_setscheduler(0, SCHED_OTHER, p));
    FAULTS(sched_setparam(0, p));
    FAULTS(sched_getparam(0, p));
    FAULTS(sched_rr_get_interval(0, p));
    FAULTS(getrusage(RUSAGE_THREAD, p));
    FAULTS(prlimit(0, RLIMIT_NOFILE, p, NULL));
    FAULTS(prlimit(0, RLIMIT_NOFILE, NULL, p));
    FAULTS(sigpending(p));
    FAULTS(open(p, O_RDONLY));

    FAULTS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, p, NULL, 8));
    FAULTS(syscall(SYS_rt_sigaction, SIGUSR1, p, NULL, 8));
    FAULTS(syscall(SYS_rt_sigsuspend, p, 8));
    FAULTS(syscall(SYS_rt_sigtimedwait, p, NULL, &brief, 8));
    FAULTS(syscall(SYS_ppoll, p, 1, &brief, NULL, 8));
    FAULTS(syscall(SYS_nanosleep, p, NULL));
    FAULTS(syscall(SYS_rt_sigpending, p, 8));
    FAULTS(syscall(SYS_timer_create, CLOCK_MONOTONIC, p, &len));
    FAULTS(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, p));
}

static void queues(void *p)
{
    char name[64], room[16];
    struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 16 };
    int set = semget(IPC_PRIVATE, 1, 0600);
    mqd_t queue;

    if (set >= 0) {
        int e1 = semop(set, p, 1) < 0 ? errno : 0;
        int e2 = semtimedop(set, &(struct sembuf){ 0, -1, 0 }, 1, p) < 0 ? errno : 0;

        semctl(set, 0, IPC_RMID);
        CHECK_EQ(e1, EFAULT);
        CHECK_EQ(e2, EFAULT);
    }
    snprintf(name, sizeof name, "/bad-addresses-%d", getpid());
    queue = mq_open(name, O_CREAT | O_RDWR, 0600, &attr);
    if (queue >= 0) {
        mq_unlink(name);
        FAULTS(mq_timedreceive(queue, room, sizeof room, NULL, p));
        FAULTS(mq_send(queue, p, 1, 0));
        mq_close(queue);
    }
}

static void at_the_edge(void)
{
    struct pollfd *p = (struct pollfd *)(void *)edge - 1;
    struct timespec *t = (struct timespec *)(void *)edge - 1;
    struct iovec *v = (struct iovec *)(void *)edge - 1;
    sigset_t *mask = (sigset_t *)(void *)(edge - 8); /* what the kernel reads of it */
    char byte;

    *p = (struct pollfd){ ends[0], POLLIN, 0 };
    CHECK_EQ(poll(p, 1, 1), 0);
    memset(mask, 0, 8);
    CHECK_EQ(ppoll(NULL, 0, &(struct timespec){ 0, 1000 }, mask), 0);
    *t = (struct timespec){ 0, 1000 };
    CHECK_EQ(nanosleep(t, NULL), 0);
    write_all(ends[1], "x", 1);
    *v = (struct iovec){ &byte, 1 };
    CHECK_EQ(readv(ends[0], v, 1), 1);
    memcpy(edge - 8, "\1\0\0\0\0\0\0\0", 8);
    CHECK(select(1, (fd_set *)(void *)(edge - 8), NULL, NULL, &(struct timeval){ 0, 0 }) >= 0);
    memcpy(edge - 5, "name", 5);
    CHECK_EQ(prctl(PR_SET_NAME, edge - 5), 0);
}

static void *all(void *argument)
{
    bad(edge);
    bad((void *)16);
    bad((void *)-4096ul);
    queues(edge);
    at_the_edge();
    return argument;
}

int main(void)
{
    char path[] = "/tmp/bad-addresses-XXXXXX";

    watchdog();
    edge = (char *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) +
           4096;
    SYS(mprotect(edge, 4096, PROT_NONE));
    SYS(pipe(ends));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    epfd = SYS(epoll_create1(0));
    file = SYS(mkstemp(path));
    unlink(path);
    write_all(file, "data", 4);
    finish(start(all, NULL));
    all(NULL);
    return 0;
}
