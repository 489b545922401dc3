/*
 * The register of threads that take part, and the monkeys: threads that signal and cancel others at
 * random. A monkey touches a thread only under its end's lock while it is live, so no pthread_t is used
 * after its thread has gone. What is checked here: a signal runs its handler in the thread it was sent
 * to, as often as it was sent at most, and the last one always.
 */
#include "soak.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

__thread struct end *me;
atomic_ulong signals_sent, cancels_sent, interrupted;

static struct end *ends;
static int nends, from; /* places below `from` are in use, most of them */
static pthread_mutex_t places = PTHREAD_MUTEX_INITIALIZER;

enum { MONKEYS = 2 };
static pthread_t monkeys[MONKEYS];
static atomic_bool monkeys_rest;

static void on_signal(int number)
{
    int which = number == SIGUSR1 ? INTERRUPTS : RESTARTS;
    int before = errno;
    struct end *e = me;

    if (!e || !pthread_equal(e->thread, pthread_self()))
        fail("a signal handler runs in a thread that nobody sent a signal to");
    unsigned long sent = e->sent[which];
    e->handled[which]++;
    if (e->handled[which] > sent)
        fail("signal %d was sent %lu times, and handled more often", number, sent);
    e->seen[which] = sent;
    errno = before;
}

void ends_prepare(int most)
{
    struct sigaction action = { .sa_handler = on_signal };

    nends = most;
    ends = calloc((size_t)most, sizeof *ends);
    if (!ends)
        fail("no memory for %d ends", most);
    for (int i = 0; i < most; i++)
        MUST(pthread_mutex_init(&ends[i].lock, NULL));
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR2, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

struct end *end_enter(const char *role, const struct plan *plan, bool cancellable)
{
    struct end *e = NULL;

    MUST(pthread_mutex_lock(&places));
    for (int i = 0; i < nends && !e; i++) {
        from = (from + 1) % nends;
        if (!ends[from].in_use)
            e = &ends[from];
    }
    if (!e)
        fail("more than %d threads at once", nends);
    e->in_use = true;
    MUST(pthread_mutex_unlock(&places));

    MUST(pthread_mutex_lock(&e->lock));
    e->role = role;
    e->doing = "";
    e->bytes = 0;
    e->cancelled = false;
    e->random = mixed((uintptr_t)e ^ now_ns());
    for (int i = 0; i < 2; i++)
        e->sent[i] = e->seen[i] = e->handled[i] = 0;
    e->thread = pthread_self();
    e->cancellable = cancellable;
    e->plan = plan ? *plan : (struct plan){ .kind = ECHO };
    e->restart_only = plan && plan->restart_only;
    e->since = plan ? now_ns() : 0;
    me = e;
    e->live = true;
    MUST(pthread_mutex_unlock(&e->lock));
    return e;
}

void end_settle(void)
{
    uint64_t start = now_ns();
    struct timespec t = { 0, 100000 };

    for (int i = 0; i < 2; i++) {
        while (me->seen[i] != me->sent[i]) {
            if (now_ns() - start > 20000000000) {
                sigset_t mask, pending;

                pthread_sigmask(0, NULL, &mask);
                sigpending(&pending);
                fail("SIGUSR%d was sent, and is not handled: %lu sent, %lu seen, %lu handled, "
                     "blocked: %d, pending: %d",
                     i + 1, me->sent[i], me->seen[i], me->handled[i],
                     sigismember(&mask, i ? SIGUSR2 : SIGUSR1),
                     sigismember(&pending, i ? SIGUSR2 : SIGUSR1));
            }
            nanosleep(&t, NULL);
        }
    }
}

void end_begin(const struct plan *plan)
{
    struct end *e = me;

    MUST(pthread_mutex_lock(&e->lock));
    e->restart_only = plan->restart_only;
    e->plan = *plan;
    e->bytes = 0;
    e->since = now_ns();
    MUST(pthread_mutex_unlock(&e->lock));
    end_settle(); /* what was sent in the mode before */
}

void end_leave(void *unused)
{
    struct end *e = me;
    int before;

    (void)unused;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    MUST(pthread_mutex_lock(&e->lock));
    e->live = false;
    e->since = 0;
    MUST(pthread_mutex_unlock(&e->lock));
    if (!e->cancelled) /* that may have come while a handler ran, which then never ends */
        end_settle();
    MUST(pthread_mutex_lock(&places));
    e->in_use = false;
    MUST(pthread_mutex_unlock(&places));
    me = NULL;
}

/* One in so many touches of a thread that may be cancelled does cancel it. */
enum { CANCEL_ONE_IN = 3 };

static void touch(struct end *e, uint64_t r)
{
    int which = (r & 1) || e->restart_only ? RESTARTS : INTERRUPTS;

    if (e->cancellable && !e->cancelled && (r >> 8) % CANCEL_ONE_IN == 0) {
        MUST(pthread_cancel(e->thread));
        e->cancelled = true;
        cancels_sent++;
        return;
    }
    e->sent[which]++;
    MUST(pthread_kill(e->thread, which == INTERRUPTS ? SIGUSR1 : SIGUSR2));
    signals_sent++;
}

/* The next that is in use; one in two times, one that may be cancelled if there is any nearby. */
static struct end *somebody(uint64_t r)
{
    struct end *found = NULL;

    for (uint64_t i = 0; i < 200; i++) {
        struct end *e = &ends[(r + i) % (uint64_t)nends];

        if (!e->live)
            continue;
        if (e->cancellable || r >> 62 & 1)
            return e;
        if (!found)
            found = e;
    }
    return found ? found : &ends[r % (uint64_t)nends];
}

static void *monkey(void *number)
{
    uint64_t r = mixed(settings.seed + (uintptr_t)number + 77);

    while (!monkeys_rest) {
        struct timespec t = { 0, (long)(r >> 20) % 2000000 };

        nanosleep(&t, NULL);
        for (int i = 0; i < 4; i++) {
            struct end *e = somebody(r = mixed(r));

            MUST(pthread_mutex_lock(&e->lock));
            if (e->live)
                touch(e, mixed(r));
            MUST(pthread_mutex_unlock(&e->lock));
        }
    }
    return NULL;
}

void monkeys_start(void)
{
    monkeys_rest = false;
    for (uintptr_t i = 0; i < MONKEYS; i++)
        monkeys[i] = thread_start(monkey, (void *)i);
}

void monkeys_stop(void)
{
    monkeys_rest = true;
    for (int i = 0; i < MONKEYS; i++)
        MUST(pthread_join(monkeys[i], NULL));
}

void ends_look(double patience)
{
    int late = 0;
    uint64_t now = now_ns();

    for (int i = 0; i < nends; i++) {
        struct end *e = &ends[i];
        uint64_t since = e->since;

        if (!e->live || !since || now < since || (double)(now - since) < patience * 1e9)
            continue;
        if (late++ < 100)
            fprintf(stderr, "stuck for %.0f s: %s of %s %lu (%s, %s), doing %s after %lu bytes%s\n",
                    (double)(now - since) / 1e9, e->role, kind_names[e->plan.kind], e->plan.number,
                    e->plan.local ? "local" : "TCP",
                    e->plan.restart_only ? "restarts" : "interrupts", e->doing, e->bytes,
                    e->cancelled ? ", cancelled" : "");
    }
    if (late)
        fail("%d threads are stuck", late);
}
