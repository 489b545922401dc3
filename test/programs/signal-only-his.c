/* A signal for one thread is that thread's alone, also when its default action would end the process: threads that
 * block it and fetch it with sigwait, or let it through with a handler that is taken away again, beside threads that
 * do neither, let it through, and wait and compute in the same ways. Each signal arrives once.
 *
 * Fails (killed by SIGUSR2) when what makes a thread look at its signals can find another, or comes too late. */
#include "check.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>

#define WAITERS    4
#define BYSTANDERS 6
#define SIGNALS    300
#define RESETS     300

static atomic_int got[WAITERS], stop;
static atomic_uint handled, resets_done;
static volatile unsigned sink;
static int lock_fd;

static void compute(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        sink = i;
}

static void change(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    OK(pthread_sigmask(how, &set, NULL));
}

static void *waiter(void *arg)
{
    atomic_int *mine = arg;
    sigset_t set;
    int sig;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    if ((mine - got) % 2)
        sigaddset(&set, SIGURG); /* which it does not block */
    for (int i = 0; i < SIGNALS; i++) {
        if (i % 3)
            compute((unsigned)i % 997);
        if (i % 2) {
            OK(sigwait(&set, &sig));
        } else { /* it often comes when the wait is over */
            struct timespec t = { 0, 20000 };
            while ((sig = sigtimedwait(&set, NULL, &t)) < 0)
                CHECK_EQ(errno, EAGAIN);
        }
        CHECK_EQ(sig, SIGUSR2);
        ++*mine;
    }
    return NULL;
}

/* Calls that take a kernel thread, and some that do not. */
static void *bystander(void *arg)
{
    char path[64];
    change(SIG_UNBLOCK);
    snprintf(path, sizeof path, "/proc/self/fd/%d", lock_fd);
    FILE *f = fopen(path, "r+");
    CHECK(f != NULL);
    for (unsigned n = 0; !atomic_load(&stop); n++) {
        SYS(flock(fileno(f), LOCK_EX));
        compute(n % 500);
        SYS(flock(fileno(f), LOCK_UN));
        if (n % 8 == 0)
            usleep(20);
        else
            sched_yield();
    }
    fclose(f);
    return arg;
}

static void handler(int sig)
{
    (void)sig;
    handled++;
}

/* Sets a handler, gets one signal, and takes the handler away at once. */
static void *resetter(void *arg)
{
    struct sigaction once = { .sa_handler = handler, .sa_flags = SA_RESTART };
    while (!atomic_load(&stop)) {
        unsigned before = handled;
        SYS(sigaction(SIGUSR1, &once, NULL));
        *(atomic_int *)arg = 1; /* send it */
        for (unsigned n = 0; handled == before && !atomic_load(&stop); n++) {
            compute(n * 37 % 400);
            sched_yield();
        }
        if (handled == before)
            break;
        CHECK(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
        resets_done++;
    }
    return NULL;
}

static atomic_int wanted;
static pthread_t resets;

static void *sender(void *arg)
{
    while (!atomic_load(&stop))
        if (atomic_exchange(&wanted, 0))
            OK(pthread_kill(resets, SIGUSR1));
        else
            sched_yield();
    return arg;
}

int main(void)
{
    char path[] = "/tmp/only-his-XXXXXX";
    pthread_t waiters[WAITERS], bystanders[BYSTANDERS];
    watchdog();
    lock_fd = SYS(mkstemp(path));
    change(SIG_BLOCK);
    for (int i = 0; i < WAITERS; i++)
        waiters[i] = start(waiter, &got[i]);
    resets = start(resetter, &wanted);
    pthread_t sends = start(sender, NULL);
    for (long i = 0; i < BYSTANDERS; i++)
        bystanders[i] = start(bystander, NULL);
    for (int i = 0; i < SIGNALS; i++)
        for (int j = 0; j < WAITERS; j++) {
            while (got[j] < i)
                sched_yield();
            if (i % 2 == 0)
                compute((unsigned)i * 61 % 60000);
            OK(pthread_kill(waiters[j], SIGUSR2));
        }
    for (int i = 0; i < WAITERS; i++)
        finish(waiters[i]);
    while (resets_done < RESETS)
        nap(1);
    stop = 1;
    finish(resets);
    finish(sends);
    for (int i = 0; i < BYSTANDERS; i++)
        finish(bystanders[i]);
    SYS(unlink(path));
    puts("each got its own");
    return 0;
}
