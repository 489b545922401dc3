/*
 * What tests of signals share: a handler that counts, and a look at the caller's mask. Include after
 * check.h.
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <signal.h>
#include <stdatomic.h>

static atomic_int handled;

__attribute__((unused)) static void count_signal(int sig)
{
    (void)sig;
    handled++;
}

static inline void install_counter(int sig, int flags)
{
    struct sigaction action = { .sa_handler = count_signal, .sa_flags = flags };

    SYS(sigaction(sig, &action, NULL));
}

/* Whether the calling thread blocks it. */
static inline int blocked(int sig)
{
    sigset_t now;

    OK(pthread_sigmask(SIG_SETMASK, NULL, &now));
    return sigismember(&now, sig);
}

#endif
