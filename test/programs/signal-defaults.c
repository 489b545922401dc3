/* Every signal's default action, in a process with threads that wait and compute: it ends with that signal as
 * its status, dumps a core if the signal does that, stops and is continued, or goes on as if nothing had been.
 * Sent in each way: by kill, raise, pthread_kill, sigqueue and tgkill to threads that wait and threads that
 * compute, and from outside. The same signals ignored, blocked and let through later, and caught once with
 * SA_RESETHAND. */
#include "check.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define PARTS 5

enum effect { ENDS, DUMPS, STOPS, NOTHING };
enum way {
    KILL_BY_MAIN,
    KILL_BY_THREAD,
    RAISE,
    TO_WAITING,
    TO_COMPUTING,
    QUEUE_TO_WAITING,
    QUEUE_TO_PROCESS,
    TGKILL,
    OUTSIDE,          /* all wait */
    OUTSIDE_BUSY,     /* some compute */
    OUTSIDE_ONE_TAKES /* a waiting one; who computes blocks it */
};
enum rule { DEFAULT, IGNORED, LATER, ONCE };

static enum effect effect_of(int sig)
{
    switch (sig) {
    case SIGQUIT:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV:
    case SIGXCPU:
    case SIGXFSZ:
    case SIGSYS:
        return DUMPS;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        return STOPS;
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
        return NOTHING;
    default:
        return ENDS;
    }
}

/* ---- the child ---- */

static int sig, waiting[2], told[2], asked[2];
static enum way way;
static enum rule rule;
static atomic_int present, caught, waiting_tid, done;
static volatile unsigned sink;

static void handler(int s)
{
    caught += s == sig;
}

static void change(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    OK(pthread_sigmask(how, &set, NULL));
}

/* Under LATER the signal is pending now, and its action is taken here. */
static void let_through(void)
{
    sigset_t pending;
    SYS(sigpending(&pending));
    if (effect_of(sig) != NOTHING && sig != SIGKILL && sig != SIGSTOP)
        CHECK(sigismember(&pending, sig));
    change(SIG_UNBLOCK);
}

static void *waits(void *arg)
{
    char c;
    if (way == OUTSIDE_ONE_TAKES)
        change(SIG_UNBLOCK);
    if (arg)
        waiting_tid = (int)syscall(SYS_gettid);
    present++;
    CHECK_EQ(SYS(read(waiting[0], &c, 1)), 1);
    if (arg && rule == LATER && (way == TO_WAITING || way == QUEUE_TO_WAITING || way == TGKILL))
        let_through();
    return arg;
}

static void *computes(void *arg)
{
    present++;
    while (!atomic_load_explicit(&done, memory_order_relaxed))
        sink++;
    if (arg && rule == LATER && way == TO_COMPUTING)
        let_through();
    return arg;
}

static void *sends(void *arg)
{
    if (way == RAISE)
        SYS(raise(sig));
    else
        SYS(kill(getpid(), sig));
    if (rule == LATER)
        let_through();
    return arg;
}

static void send(pthread_t waiter, pthread_t computer)
{
    char c;
    switch (way) {
    case KILL_BY_MAIN:
        SYS(kill(getpid(), sig));
        break;
    case KILL_BY_THREAD:
    case RAISE:
        finish(start(sends, NULL));
        break;
    case TO_WAITING:
        OK(pthread_kill(waiter, sig));
        break;
    case TO_COMPUTING:
        OK(pthread_kill(computer, sig));
        break;
    case QUEUE_TO_WAITING:
        OK(pthread_sigqueue(waiter, sig, (union sigval){ .sival_int = 1 }));
        break;
    case QUEUE_TO_PROCESS:
        SYS(sigqueue(getpid(), sig, (union sigval){ .sival_int = 1 }));
        break;
    case TGKILL:
        SYS(syscall(SYS_tgkill, getpid(), (int)waiting_tid, sig));
        break;
    default:
        SYS(write(told[1], "r", 1));
        CHECK_EQ(SYS(read(asked[0], &c, 1)), 1); /* the parent sends it in between */
        break;
    }
}

/* Its status is what the parent looks at; if nothing is to happen, 7. */
__attribute__((noreturn)) static void child(void)
{
    int busy = way == TO_COMPUTING || way == OUTSIDE_BUSY || way == OUTSIDE_ONE_TAKES;
    pthread_t waiter[2], computer[2];
    watchdog();
    SYS(setpgid(0, 0)); /* not orphaned: it may stop */
    SYS(pipe(waiting));
    if (rule == IGNORED)
        CHECK(signal(sig, SIG_IGN) == SIG_DFL);
    if (rule == ONCE) {
        struct sigaction a = { .sa_handler = handler,
                               .sa_flags = (int)(SA_RESETHAND | SA_RESTART) };
        SYS(sigaction(sig, &a, NULL));
    }
    if (rule == LATER || way == OUTSIDE_ONE_TAKES)
        change(SIG_BLOCK); /* and so do the threads */
    for (int i = 0; i < 2; i++) {
        waiter[i] = start(waits, i ? &sig : NULL);
        if (busy)
            computer[i] = start(computes, i ? &sig : NULL);
    }
    while (present < (busy ? 4 : 2))
        sched_yield();
    usleep(200);
    if (rule == ONCE) {
        struct sigaction now;
        send(waiter[1], computer[busy]);
        while (!caught)
            usleep(100);
        SYS(sigaction(sig, NULL, &now));
        CHECK(now.sa_handler == SIG_DFL);
    }
    send(waiter[1], computer[busy]);
    done = 1;
    SYS(write(waiting[1], "xx", 2));
    for (int i = 0; i < 2; i++) {
        finish(waiter[i]);
        if (busy)
            finish(computer[i]);
    }
    if (rule == LATER && (way == KILL_BY_MAIN || way >= OUTSIDE))
        let_through();
    CHECK_EQ(caught, rule == ONCE);
    char c;
    CHECK_EQ(SYS(read(asked[0], &c, 1)), 1); /* the parent has seen it go on */
    _exit(7);
}

/* ---- the parent ---- */

static int cores; /* are allowed, and here they are made */

static void expect(int good, int status)
{
    if (!good) {
        dprintf(2, "signal %d, way %d, rule %d: status %#x\n", sig, way, rule, (unsigned)status);
        _exit(1);
    }
}

static void look(int s, enum way w, enum rule r)
{
    enum effect effect = r == IGNORED ? NOTHING : effect_of(s);
    int status;
    char c;
    sig = s;
    way = w;
    rule = r;
    SYS(pipe(told));
    SYS(pipe(asked));
    pid_t pid = SYS(fork());
    if (!pid)
        child();
    SYS(close(told[1]));
    for (int i = 0; way >= OUTSIDE && i < (rule == ONCE ? 2 : 1); i++) {
        if (SYS(read(told[0], &c, 1)) != 1)
            expect(0, reap(pid));
        SYS(kill(pid, sig));
        /* Where the signal ends it nothing else may wake it: which of its threads sees what first is nobody's to say. */
        if (rule != DEFAULT || effect == STOPS || effect == NOTHING)
            SYS(write(asked[1], "s", 1));
    }
    if (effect == STOPS) {
        CHECK_EQ(SYS(waitpid(pid, &status, WUNTRACED)), pid);
        expect(WIFSTOPPED(status) && WSTOPSIG(status) == sig, status);
        SYS(kill(pid, SIGCONT));
        CHECK_EQ(SYS(waitpid(pid, &status, WCONTINUED)), pid);
        expect(WIFCONTINUED(status), status);
    }
    if (way < OUTSIDE || rule != DEFAULT || effect == STOPS || effect == NOTHING)
        SYS(write(asked[1], "e", 1));
    status = reap(pid);
    if (effect == STOPS || effect == NOTHING)
        expect(WIFEXITED(status) && WEXITSTATUS(status) == 7, status);
    else
        expect(WIFSIGNALED(status) && WTERMSIG(status) == sig &&
                   !WCOREDUMP(status) == !(cores && effect == DUMPS),
               status);
    SYS(close(told[0]));
    SYS(close(asked[0]));
    SYS(close(asked[1]));
}

/* The rules that are no use for what can be neither caught, blocked nor ignored. */
static void look_if_catchable(int s, enum way w, enum rule r)
{
    if (s != SIGKILL && s != SIGSTOP)
        look(s, w, r);
    else
        CHECK(signal(s, SIG_IGN) == SIG_ERR && errno == EINVAL);
}

static void every_way(int s)
{
    for (enum way w = KILL_BY_MAIN; w <= OUTSIDE_ONE_TAKES; w++)
        look(s, w, DEFAULT);
    static const enum way later[] = { KILL_BY_MAIN,     RAISE,  TO_WAITING, TO_COMPUTING, TGKILL,
                                      QUEUE_TO_WAITING, OUTSIDE },
                          others[] = { KILL_BY_MAIN, TO_COMPUTING, TO_WAITING, OUTSIDE_BUSY };
    /* One that stops the process, and is pending or was caught before: not yet, see docs/design.md, section 12. */
    for (int i = s; effect_of(s) != STOPS && i < s + 7;
         i += 3) /* each signal in some, each way for some */
        look(s, later[i % 7], LATER);
    for (int i = s; i < s + 2; i++) {
        look_if_catchable(s, others[i % 4], IGNORED);
        if (effect_of(s) != STOPS)
            look_if_catchable(s, others[(i + 1) % 4], ONCE);
    }
}

static void *from_a_thread(void *arg)
{
    for (int s = 1; s < 32; s++)
        look(s, s % 2 ? KILL_BY_THREAD : OUTSIDE, DEFAULT);
    return arg;
}

/* With room for cores: only some signals make one, whichever thread they are for. Small ones, in a directory
 * that goes. */
static void with_cores(void)
{
    char directory[] = "/tmp/signal-defaults-XXXXXX";
    struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
    if (setrlimit(RLIMIT_CORE, &limit) < 0)
        return;
    FILE *filter = fopen("/proc/self/coredump_filter", "w");
    if (filter) {
        fputs("0", filter);
        fclose(filter);
    }
    CHECK(mkdtemp(directory) != NULL);
    SYS(chdir(directory));
    pid_t probe = SYS(fork());
    if (!probe) {
        kill(getpid(), SIGQUIT);
        _exit(1);
    }
    int status = reap(probe);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGQUIT);
    cores = WCOREDUMP(status);
    for (int s = 1; s < 32; s++)
        look(s, s % 2 ? TO_WAITING : OUTSIDE_BUSY, DEFAULT);
    DIR *listing = opendir(".");
    CHECK(listing != NULL);
    for (struct dirent *e; (e = readdir(listing));)
        unlink(e->d_name);
    closedir(listing);
    SYS(chdir("/"));
    SYS(rmdir(directory));
}

int main(void)
{
    sigset_t none;
    sigemptyset(&none);
    OK(pthread_sigmask(SIG_SETMASK, &none, NULL));
    for (int s = 1; s < 32; s++)
        signal(s, SIG_DFL); /* a shell may have it ignored */
    watchdog();
    with_cores();
    no_core();
    cores = 0;
    pid_t
        parts[PARTS]; /* most of their time is the kernel's, for starting threads and ending them */
    for (int i = 0; i < PARTS; i++) {
        if ((parts[i] = SYS(fork())))
            continue;
        for (int s = 1 + i; s <= 31 + 3; s += PARTS) {
            every_way(s < 32 ? s : s == 32 ? SIGRTMIN : s == 33 ? SIGRTMIN + 7 : SIGRTMAX);
            watchdog();
        }
        _exit(0);
    }
    finish(start(from_a_thread, NULL));
    for (int i = 0; i < PARTS; i++)
        expect(reap(parts[i]) == 0, i);
    puts("each signal did what it does by default");
    return 0;
}
