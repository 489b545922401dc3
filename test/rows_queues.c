/* How to block in functions of files, queues and children; see rows.c, which has their table. */
#include "programs/check.h"

#include <mqueue.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "rows.h"

static char block[1 << 20];
static pid_t child;
static mqd_t silent_mq, stuffed_mq;
static char text[64];

/* One that no other process has, which may be another one of these. */
static mqd_t own_queue(const char *what, struct mq_attr *attr)
{
    char name[64];

    snprintf(name, sizeof name, "/rows-%s-%d", what, (int)getpid());
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, attr);
    mq_unlink(name);
    return queue;
}

void prepare_queues(void)
{
    child = (pid_t)SYS(fork());
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it must not end while somebody waits for it */
        for (;;) {
            pause();
        }
    }
    struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = sizeof text };
    silent_mq = own_queue("silent", &attr);
    stuffed_mq = own_queue("stuffed", &attr);
    if (stuffed_mq >= 0) {
        SYS(mq_send(stuffed_mq, text, sizeof text, 1));
    }
}

void splicing(void *ends)
{
    int out[2];

    SYS(pipe(out));
    /* splice has offsets between its descriptors. */
    if (strcmp(row_name, "splice") == 0) {
        CALL(ssize_t (*)(int, void *, int, void *, size_t, unsigned), *(int *)ends, NULL, out[1],
             NULL, 1, 0);
    } else {
        CALL(ssize_t (*)(int, int, size_t, unsigned), *(int *)ends, out[1], 1, 0);
    }
}

void splicing_memory(void *ends)
{
    struct iovec iov = { block, sizeof block };

    CALL(ssize_t (*)(int, const struct iovec *, size_t, unsigned), ((int *)ends)[1], &iov, 1, 0);
}

void sending_a_file(void *ends)
{
    off_t offset = 0;
    int fd = memfd_create("rows", 0);

    SYS(ftruncate(fd, sizeof block));
    CALL(ssize_t (*)(int, int, off_t *, size_t), ((int *)ends)[1], fd, &offset, sizeof block);
}

void several_messages(void *ends)
{
    struct iovec iov = { block, sizeof block };
    struct mmsghdr msgs[2] = { { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } },
                               { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } } };
    int fd = ((int *)ends)[strcmp(row_name, "sendmmsg") == 0];

    CALL(int (*)(int, struct mmsghdr *, unsigned, int, void *), fd, msgs, 2, 0, NULL);
}

void waiting_for_any(void *unused)
{
    int status;

    (void)unused;
    CALL(pid_t(*)(int *, int, void *), &status, 0, NULL);
}

void waiting_for_one(void *unused)
{
    int status;

    (void)unused;
    CALL(pid_t(*)(pid_t, int *, int, void *), child, &status, 0, NULL);
}

void waiting_for_id(void *unused)
{
    siginfo_t info;

    (void)unused;
    CALL(int (*)(idtype_t, id_t, siginfo_t *, int), P_PID, (id_t)child, &info, WEXITED);
}

static struct timespec far_away(void)
{
    struct timespec t;

    SYS(clock_gettime(CLOCK_REALTIME, &t));
    t.tv_sec += 1000;
    return t;
}

static void need_mq(void)
{
    if (silent_mq < 0 || stuffed_mq < 0) {
        _exit(77);
    }
}

void mq_sending(void *unused)
{
    struct timespec far = far_away();

    (void)unused;
    need_mq();
    CALL(int (*)(mqd_t, const char *, size_t, unsigned, const struct timespec *), stuffed_mq,
         text, sizeof text, 1, &far);
}

void mq_receiving(void *unused)
{
    struct timespec far = far_away();
    char got[sizeof text];

    (void)unused;
    need_mq();
    CALL(ssize_t (*)(mqd_t, char *, size_t, unsigned *, const struct timespec *), silent_mq, got, sizeof got, NULL, &far);
}
