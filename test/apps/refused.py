"""What raddle does not take over: it says so in one line, and the program runs natively. With
RADDLE_STRICT=1 it does not run."""

import os
import re
import shutil
import subprocess

from common import Failed, Skip, row

PROGRAM = r"""
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *body(void *p) { usleep(1000); return p; }
int main(void)
{
    pthread_t t[4];
    long sum = 0;
    for (long i = 0; i < 4; i++)
        if (pthread_create(&t[i], NULL, body, (void *)i))
            return 1;
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(t[i], &r);
        sum += (long)r;
    }
    printf("sum %ld\n", sum);
    return 3;
}
"""

GO = r"""
package main
/*
#include <pthread.h>
#include <unistd.h>
static void *body(void *p) { usleep(1000); return p; }
static long run(long n) { pthread_t t; void *r; pthread_create(&t, 0, body, (void *)n); pthread_join(t, &r); return (long)r; }
*/
import "C"
import ("fmt"; "os"; "sync")
func main() {
    var wg sync.WaitGroup
    var mu sync.Mutex
    s := 0
    for i := 0; i < 20; i++ {
        wg.Add(1)
        go func(i int) { defer wg.Done(); r := int(C.run(C.long(i))); mu.Lock(); s += r; mu.Unlock() }(i)
    }
    wg.Wait()
    fmt.Println(s)
    os.Exit(3)
}
"""


def _said(err):
    return [line for line in err.decode(errors="replace").splitlines() if line.startswith("raddle: ")]


def _expect(run, argv, line, strict, env=None, user=None):
    """It runs as natively and says this line; with RADDLE_STRICT=1 it says so and ends with status."""
    launcher = [os.path.join(run.top, "raddle")] if run.library else []
    out, err = run.output([*launcher, *argv], under=False, status=3, env=env, user=user)
    run.answer("output", out.decode())
    if not run.library:
        return
    run.check(any(re.search(line, s) for s in _said(err)) and len(_said(err)) == 1,
              f"said {_said(err) or err.decode()[-200:]!r}, expected {line!r}")
    run.note(_said(err)[0].replace(run.dir + "/", "") if _said(err) else "")
    out, err = run.output([*launcher, *argv], under=False, status=None, env={**(env or {}), "RADDLE_STRICT": "1"},
                          user=user)
    run.check(out == b"" and any(re.search(strict, s) for s in _said(err)),
              f"with RADDLE_STRICT=1: said {err.decode()[-200:]!r} and printed {out!r}")
    status = subprocess.run([*launcher, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, timeout=30, user=user,
                            env=run.environment(False, **(env or {}), RADDLE_STRICT="1")).returncode
    run.check(status == 125, f"with RADDLE_STRICT=1: exit status {status}, expected 125")


def _build(run, name, *flags):
    run.write("p.c", PROGRAM)
    try:
        run.output(["gcc", "-g", run.path("p.c"), "-o", run.path(name), "-pthread", *flags], under=False)
    except Failed as why:
        raise Skip(str(why)) from None
    return run.path(name)


SANITIZER = "threads stay kernel threads .*sanitizer"


@row("ThreadSanitizer", "gcc", "stay kernel threads", ["gcc"], quick=True)
def tsan(run):
    program = _build(run, "tsan", "-fsanitize=thread")
    # gcc 12's does not know the address layouts of newer kernels.
    no_layout = ["setarch", "-R"] if not subprocess.run(["setarch", "-R", "true"], stderr=subprocess.DEVNULL).returncode else []
    _expect(run, [*no_layout, program], SANITIZER, SANITIZER)


@row("AddressSanitizer", "gcc", "stay kernel threads", ["gcc"], quick=True)
def asan(run):
    program = _build(run, "asan", "-fsanitize=address")
    # It also wants to be the first library, and says so itself if it is not told otherwise.
    _expect(run, [program], SANITIZER, SANITIZER, env={"ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"})


@row("static program", "gcc", "runs natively", ["gcc"], quick=True)
def static(run):
    program = _build(run, "static", "-static")
    _expect(run, [program], "is statically linked; raddle has no effect", "is statically linked")


@row("set-user-ID program", "gcc", "runs natively", ["gcc"], quick=True)
def setuid(run):
    if os.geteuid() != 0:
        raise Skip("only root can make one that belongs to somebody else")
    program = _build(run, "setuid")
    shutil.chown(program, "daemon")
    os.chmod(program, 0o4755)
    _expect(run, [program], "is set-user-ID; raddle has no effect", "is set-user-ID")


@row("Go's runtime, own clone threads", "golang-go", "stay kernel threads", ["go", "gcc"], limit=200)
def go(run):
    source = run.write("a.go", GO)
    run.output(["go", "build", "-o", run.path("go"), source], under=False, timeout=150,
               env={"GOCACHE": run.path("cache"), "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"})
    _expect(run, [run.path("go")], "Go runtime", "Go runtime")
