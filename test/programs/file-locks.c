/*
 * flock and open file description locks between threads that opened the file separately: they
 * exclude each other, and a waiting thread does not keep the holder from running
 * (flock(2), fcntl(2) F_OFD_SETLKW).
 */
#include "check.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>

enum { THREADS = 6, ROUNDS = 30 };

static char name[] = "/tmp/check-XXXXXX";
static volatile long a, b;
static int use_fcntl;

static void change(int fd, short type, int operation)
{
    if (use_fcntl) {
        struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
        SYS(fcntl(fd, F_OFD_SETLKW, &lock));
    } else {
        SYS(flock(fd, operation));
    }
}

static void *body(void *argument)
{
    int fd = SYS(open(name, O_RDWR | O_CLOEXEC));

    for (int i = 0; i < ROUNDS; i++) {
        change(fd, F_WRLCK, LOCK_EX);
        CHECK_EQ(a, b);
        a++;
        if (i % 10 == 0) {
            usleep(200);
        } else {
            sched_yield();
        }
        b++;
        change(fd, F_UNLCK, LOCK_UN);
    }
    SYS(close(fd));
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];

    watchdog();
    int fd = SYS(mkstemp(name));
    for (use_fcntl = 0; use_fcntl < 2; use_fcntl++) {
        a = b = 0;
        for (int i = 0; i < THREADS; i++) {
            threads[i] = start(body, NULL);
        }
        for (int i = 0; i < THREADS; i++) {
            finish(threads[i]);
        }
        CHECK_EQ(a, THREADS * ROUNDS);
    }
    int other = SYS(open(name, O_RDWR));
    SYS(flock(fd, LOCK_EX));
    FAILS(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    SYS(unlink(name));
    return 0;
}
