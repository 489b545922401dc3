/*
 * fork in a signal handler, over a thread that computes, waits for a lock's turn, or sleeps; the child
 * may call what is async-signal-safe, the thread goes on (POSIX: fork in handlers without atfork).
 */
#include "check.h"

#include <signal.h>
#include <stdatomic.h>

static atomic_int handled, failed, stop, ready;
static int report[2];

static void handler(int sig)
{
    int saved = errno;
    pid_t child = _Fork();

    (void)sig;
    if (child == 0) {
        (void)!write(report[1], "c", 1);
        _exit(5);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    failed += !WIFEXITED(status) || WEXITSTATUS(status) != 5;
    handled++;
    errno = saved;
}

static void *body(void *argument)
{
    ready++;
    while (!stop) {
        switch ((long)argument) {
        case 0:
            break;
        case 1:
            free(malloc(100));
            sched_yield();
            break;
        default:
            nap(2);
        }
    }
    return argument;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    pthread_t threads[3];
    char c;

    watchdog();
    SYS(pipe(report));
    SYS(sigaction(SIGUSR1, &action, NULL));
    for (long i = 0; i < 3; i++) {
        threads[i] = start(body, (void *)i);
    }
    while (ready < 3) {
        usleep(100);
    }
    for (int i = 0; i < 24; i++) {
        if (i % 4 == 3) {
            raise(SIGUSR1);
        } else {
            OK(pthread_kill(threads[i % 4], SIGUSR1));
        }
        while (handled <= i) {
            usleep(200);
        }
        read_all(report[0], &c, 1);
    }
    stop = 1;
    for (int i = 0; i < 3; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(failed, 0);
    return 0;
}
