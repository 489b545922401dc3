/* The old interfaces work on the thread that calls them: sigset, sighold, sigrelse, sigignore, sigpause,
 * sigblock, sigsetmask. */
#include "check.h"

#include "signals.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define BIT(sig) (1 << ((sig)-1))

static volatile int got;
static pthread_barrier_t meet;

static void handler(int sig)
{
    (void)sig;
    got++;
}

static void *body(void *argument)
{
    got = 0;
    CHECK_EQ(sighold(SIGUSR1), 0);
    CHECK_EQ(blocked(SIGUSR1), 1);
    usleep(1000);
    raise(SIGUSR1);
    CHECK_EQ(got, 0);
    CHECK_EQ(sigrelse(SIGUSR1), 0);
    CHECK_EQ(got, 1);
    CHECK_EQ(blocked(SIGUSR1), 0);
    int before = sigblock(BIT(SIGUSR1));
    CHECK_EQ(before & BIT(SIGUSR1), 0);
    usleep(1000);
    CHECK_EQ(blocked(SIGUSR1), 1);
    CHECK_EQ(sigblock(0) & BIT(SIGUSR1), BIT(SIGUSR1));
    pthread_barrier_wait(&meet); /* the other thread has nothing blocked */
    pthread_barrier_wait(&meet);
    raise(SIGUSR1);
    CHECK_EQ(got, 1);
    sigsetmask(before);
    CHECK_EQ(got, 2);
    CHECK(sigset(SIGUSR2, SIG_HOLD) != SIG_ERR);
    CHECK_EQ(blocked(SIGUSR2), 1);
    raise(SIGUSR2);
    CHECK_EQ(got, 2);
    CHECK(sigset(SIGUSR2, handler) == SIG_HOLD);
    CHECK_EQ(got, 3);
    CHECK_EQ(blocked(SIGUSR2), 0);
    CHECK_EQ(sighold(SIGUSR1), 0);
    raise(SIGUSR1);
    CHECK_EQ(sigpause(SIGUSR1), -1);
    CHECK_EQ(errno, EINTR);
    CHECK_EQ(got, 4);
    CHECK_EQ(blocked(SIGUSR1), 1);
    CHECK_EQ(sigrelse(SIGUSR1), 0);
    CHECK_EQ(sigignore(SIGUSR2), 0);
    raise(SIGUSR2);
    CHECK_EQ(got, 4);
    CHECK(sigset(SIGUSR1, handler) == handler);
    raise(SIGUSR1);
    CHECK_EQ(got, 5);
    return argument;
}

static void *other(void *argument)
{
    pthread_barrier_wait(&meet);
    CHECK_EQ(blocked(SIGUSR1), 0);
    pthread_barrier_wait(&meet);
    return argument;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler };
    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    OK(pthread_barrier_init(&meet, NULL, 2));
    pthread_t a = start(body, NULL), b = start(other, NULL);
    finish(a);
    finish(b);
    return 0;
}
