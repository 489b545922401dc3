/* sendfile sends a whole file to sockets whose readers are slow, for many threads at a time; the file
 * offset advances by what was sent; SO_SNDTIMEO and a signal end it with what was sent so far. */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { PAIRS = 32, SIZE = 3000000 };

static int file;

static unsigned char byte_at(size_t i)
{
    return (unsigned char)(i * 3 + i / 1000);
}

static void on_signal(int sig)
{
    (void)sig;
}

static void *sender(void *argument)
{
    int fd = *(int *)argument;
    off_t offset = 5;

    CHECK_EQ(SYS(sendfile(fd, file, &offset, SIZE)), SIZE - 5);
    CHECK_EQ(offset, SIZE);
    CHECK_EQ(SYS(sendfile(fd, file, &offset, SIZE)), 0);
    SYS(close(fd));
    return NULL;
}

static void *reader(void *argument)
{
    int fd = *(int *)argument;
    unsigned char *data = malloc(100000);
    size_t done = 5;
    ssize_t n;

    while ((n = SYS(read(fd, data, 100000))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            CHECK_EQ(data[i], byte_at(done + (size_t)i));
        done += (size_t)n;
        if (done < 300000)
            nap(1);
    }
    CHECK_EQ(done, SIZE);
    free(data);
    SYS(close(fd));
    return NULL;
}

static void *limited(void *argument)
{
    int s[2];
    struct timeval tv = { 0, 20000 };
    off_t offset = 0;
    ssize_t n;

    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    SYS(setsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv));
    n = SYS(sendfile(s[0], file, &offset, SIZE));
    CHECK(n > 0 && n < SIZE);
    CHECK_EQ(offset, n);
    FAILS(sendfile(s[0], file, &offset, SIZE), EAGAIN);
    CHECK_EQ(offset, n);
    SYS(close(s[0]));
    SYS(close(s[1]));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    *(int *)argument = s[1];
    n = SYS(sendfile(s[0], file, NULL, SIZE)); /* ended by the signal */
    CHECK(n > 0 && n < SIZE);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), n);
    FAILS(sendfile(s[0], -1, NULL, 1), EBADF);
    FAILS(sendfile(-1, file, NULL, 1), EBADF);
    signal(SIGPIPE, SIG_IGN);
    SYS(close(s[1]));
    FAILS(sendfile(s[0], file, NULL, 1000), EPIPE);
    SYS(close(s[0]));
    return NULL;
}

int main(void)
{
    char path[] = "sendfile-slow-XXXXXX";
    unsigned char *data = malloc(SIZE);
    static int s[PAIRS][2];
    pthread_t threads[PAIRS][2], thread;
    struct sigaction action = { .sa_handler = on_signal };
    _Atomic int peer = -1;

    watchdog();
    file = SYS(mkstemp(path));
    unlink(path);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = byte_at(i);
    write_all(file, data, SIZE);
    lseek(file, 0, SEEK_SET);
    for (int i = 0; i < PAIRS; i++) {
        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s[i]));
        threads[i][0] = start(sender, &s[i][0]);
    }
    for (int i = 0; i < PAIRS; i++)
        threads[i][1] = start(reader, &s[i][1]);
    for (int i = 0; i < PAIRS; i++) {
        finish(threads[i][0]);
        finish(threads[i][1]);
    }
    sigaction(SIGUSR1, &action, NULL);
    thread = start(limited, &peer);
    while (peer < 0)
        nap(5);
    nap(50);
    while (pthread_tryjoin_np(thread, NULL) == EBUSY) { /* until it comes late enough */
        pthread_kill(thread, SIGUSR1);
        nap(5);
    }
    return 0;
}
