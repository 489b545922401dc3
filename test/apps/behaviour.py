"""What somebody expects who puts raddle in front of a command and forgets about it: exit statuses, signals,
pipelines, children, a place without io_uring. The commands are a shell and a small program with threads."""

import os
import resource
import signal
import subprocess
import time

from common import Failed, Skip, row

# Threads that wait; then one thing happens.
PROGRAM = r"""
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int pipe_ends[2];
static void *wait_for_ever(void *p) { char c; read(pipe_ends[0], &c, 1); return p; }
static void on_term(int n) { (void)n; _exit(44); }
static sigset_t awaited;
static void *wait_for_signal(void *p) { int n; sigwait(&awaited, &n); exit(n == SIGTERM ? 46 : 1); return p; }
int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    pthread_t t;
    pipe(pipe_ends);
    if (!strcmp(what, "handler"))
        signal(SIGTERM, on_term);
    if (!strcmp(what, "sigwait")) { /* one thread is there for the signals */
        sigemptyset(&awaited);
        sigaddset(&awaited, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &awaited, NULL);
        if (pthread_create(&t, NULL, wait_for_signal, NULL))
            return 1;
    }
    for (int i = 0; i < 20; i++)
        if (pthread_create(&t, NULL, wait_for_ever, NULL))
            return 1;
    /* Not by stdio: whoever hears it may make another thread exit while fflush is not done yet. */
    write(1, "ready\n", 6);
    if (!strcmp(what, "exit"))
        exit(43);
    if (!strcmp(what, "abort"))
        abort();
    if (!strcmp(what, "segv"))
        *(volatile int *)8 = 1;
    if (!strcmp(what, "exec"))
        execl("/bin/sh", "sh", "-c", "echo executed; exit 45", NULL);
    if (!strcmp(what, "cat")) {
        char buffer[70000];
        ssize_t n;
        while ((n = read(0, buffer, sizeof buffer)) > 0)
            fwrite(buffer, 1, (size_t)n, stdout);
        return 0;
    }
    for (;;)
        pause();
}
"""


def _usual_signals():
    """Whoever starts us in the background may have had them ignored, and children inherit that."""
    for number in signal.SIGINT, signal.SIGQUIT, signal.SIGHUP:
        signal.signal(number, signal.SIG_DFL)


def _program(run):
    run.write("p.c", PROGRAM)
    run.output(["gcc", "-w", "-O1", run.path("p.c"), "-o", run.path("p"), "-pthread"], under=False)
    return run.path("p")


@row("exit statuses and signals", "", "20", ["gcc"], quick=True)
def endings(run):
    program = _program(run)
    for what in "exit", "abort", "segv", "exec":
        child = subprocess.run([program, what], env=run.environment(), stdin=subprocess.DEVNULL, cwd=run.dir,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
        run.answer(what, (child.returncode, child.stdout, child.stderr))
    for what, number in (("handler", signal.SIGTERM), ("sigwait", signal.SIGTERM), ("", signal.SIGTERM), ("", signal.SIGINT), ("", signal.SIGHUP),
                         ("", signal.SIGKILL), ("", signal.SIGQUIT)):
        child = subprocess.Popen([program, what], env=run.environment(), stdin=subprocess.DEVNULL, cwd=run.dir,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_usual_signals)
        ready = child.stdout.readline()
        child.send_signal(number)
        try:
            out, err = child.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            raise Failed(f"signal {number} did not end it") from None
        run.answer(f"{what or 'default'} {number.name}", (child.returncode, ready, out, err))
    # Stopped and continued, as a shell does it.
    child = subprocess.Popen([program, "handler"], env=run.environment(), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE)
    child.stdout.readline()
    child.send_signal(signal.SIGSTOP)
    run.answer("stopped", os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1]))
    child.send_signal(signal.SIGCONT)
    child.send_signal(signal.SIGTERM)
    run.answer("continued", child.wait(20))
    child.stdout.close()


PIPELINES = r"""
set -o pipefail
head -c 3000000 /dev/zero | "$1" cat | tail -c +7 | cksum
"$1" cat </dev/null | cat; echo "status $?"
yes | "$1" cat | head -3; echo "statuses ${PIPESTATUS[*]}"
"$1" exit >/dev/null; echo "status $?"
x=$("$1" exec </dev/null); echo "$x $?"
"$1" handler >log & p=$!
until [ -s log ]; do sleep 0.02; done
kill $p; wait $p; echo "status $?"
( "$1" exit; echo "after $?" ) 2>&1 | cat
"""


@row("shell pipelines", "bash", "20", ["gcc", "bash"], quick=True)
def pipelines(run):
    program = _program(run)
    script = run.write("script", PIPELINES)
    out, err = run.output(["bash", script, program])
    run.answer("output", (out, err))


@row("children and RADDLE_INHERIT", "bash", "none", ["bash"], quick=True)
def children(run):
    if run.library:
        shows = ["sh", "-c", 'echo "${LD_PRELOAD:+preloaded}"; sh -c \'echo "${LD_PRELOAD:+preloaded}"\'']
        for value, expected in (None, b"preloaded\npreloaded\n"), ("1", b"preloaded\npreloaded\n"), ("0", b"\n\n"):
            out, _ = run.output(shows, env={"RADDLE_INHERIT": value} if value else None)
            run.check(out == expected, f"RADDLE_INHERIT={value}: {out!r}, expected {expected!r}")
        other = "libm.so.6"  # somebody else's preload stays
        out, _ = run.output(["sh", "-c", "echo $LD_PRELOAD"],
                            env={"RADDLE_INHERIT": "0", "LD_PRELOAD": f"{other}:{run.library}"})
        run.check(out.decode().strip(" :\n") == other, f"RADDLE_INHERIT=0 left LD_PRELOAD={out.decode().strip()}")
    out, _ = run.output(["sh", "-c", "for i in 1 2 3 4 5; do sh -c 'exit 3' || echo $?; done"])
    run.answer("statuses of children", out)
    # What a child costs in processor time; several times, and the least of them.
    env, count, least = run.environment(), 20 if run.quick else 200, None
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in range(count):
            subprocess.run(["/bin/true"], env=env, stdin=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / count
        least = spent if least is None else min(least, spent)
    if not run.quick:
        run.figures("short-lived children", throughput=1 / least)


@row("without io_uring", "", "20", ["gcc"], quick=True)
def without_uring(run):
    """As in a container whose seccomp filter denies it: the other poller, and not a word about it."""
    program = _program(run)
    deny = os.path.join(run.build, "test", "programs", "deny_uring")
    if not os.path.exists(deny):
        raise Skip("test/programs/deny_uring was not built")
    data = bytes(range(256)) * 4000
    out, err = run.output([deny, program, "cat"], stdin=data)
    run.answer("output", (len(out), out[6:] == data, err))
    if run.library:
        _, err = run.output([deny, program, "cat"], stdin=b"", env={"RADDLE_STATS": "1"})
        run.check(b"poller epoll" in err, f"expected epoll: {err.decode()[:200]}")
