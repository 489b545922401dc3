#!/usr/bin/env python3
"""Runs one test program, natively or with a library preloaded, under supervision.

    run.py [--preload LIB | --linked PROG2] [--compare] [--orphans] [--env K=V ...]
           [--timeout S] PROG [args...]

With --linked, PROG2 is the same program linked with the library; it runs in PROG's place.

The program gets a session and process group of its own, /dev/null as standard input, no core
dumps and all the descriptors the hard limit allows. Its exit code is passed on, 77 ("skipped")
included; death by a signal becomes 128 + the signal's number. It fails as well when it

 * takes longer than the timeout (exit code 124; everything it started is killed),
 * leaves a process behind (125; with --orphans it is only killed),
 * with --compare: prints on standard output something else than the native run, which is made
   first, once for each build of the program (126). A program that prints nothing natively may
   print what it likes.
"""

import argparse
import ctypes
import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

TIMED_OUT, LEFT_BEHIND, DIFFERS = 124, 125, 126
PR_SET_CHILD_SUBREAPER = 36

# How long a child that is just ending may take to go once the program itself is gone.
GRACE = 2.0


class Result:
    def __init__(self, status, stdout, stderr, note):
        self.status = status  # exit code as described above
        self.stdout = stdout
        self.stderr = stderr
        self.note = note  # one line for the reader, or None


def become_reaper():
    """Orphans of the program become our children, so none of them can hide from us."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def prepare_child():
    # No core dumps, unless the program asks for one.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def children():
    """The live children of this process: (pid, command) pairs."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as listing:
            for pid in listing.read().split():
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                        command = cmdline.read().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                found.append((int(pid), command.strip()))
    return found


def reap_orphans(deadline):
    """Collects ended orphans until none is left or the deadline passes; returns the rest."""
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return []
        if time.monotonic() >= deadline:
            return children()
        time.sleep(0.01)


def kill_all(group):
    """Kills the program's group and whatever else became ours, however it detached itself."""
    for _ in range(100):
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        for pid, _command in children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if not reap_orphans(time.monotonic() + 0.05):
            return


def thread_report(pid):
    """Where the kernel threads of a program that hangs are waiting; empty if we may not look."""
    lines = []
    try:
        for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int)[:40]:
            words = []
            for name in ("comm", "wchan", "syscall"):
                try:
                    with open(f"/proc/{pid}/task/{task}/{name}") as file:
                        words.append(file.read().strip())
                except OSError:
                    words.append("?")
            lines.append(f"    {task} " + " | ".join(words))
    except OSError:
        pass
    return "\n".join(lines)


def run(command, environment, timeout, orphans=False):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=prepare_child,
        )
        note = None
        try:
            code = process.wait(timeout)
            status = code if code >= 0 else 128 - code
            if code < 0:
                note = f"killed by {signal.Signals(-code).name}"
        except subprocess.TimeoutExpired:
            status = TIMED_OUT
            note = f"still running after {timeout:g} s; its threads:\n{thread_report(process.pid)}"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        except BaseException:
            kill_all(process.pid)
            raise
        left = reap_orphans(time.monotonic() + (GRACE if status != TIMED_OUT and not orphans else 0))
        if left:
            names = ", ".join(f"{pid} ({command})" for pid, command in left)
            kill_all(process.pid)
            if status in (0, 77) and not orphans:
                status, note = LEFT_BEHIND, f"left behind: {names}"
        out.seek(0)
        err.seek(0)
        return Result(status, out.read(), err.read(), note)


def show(label, result):
    sys.stdout.flush()
    sys.stdout.buffer.write(result.stdout)
    sys.stdout.flush()
    sys.stderr.buffer.write(result.stderr)
    if result.note:
        sys.stderr.write(f"run.py: {label}: {result.note}\n")
    sys.stderr.flush()


def native_run(command, options, environment):
    """The native run, or what it printed when it last passed: a program runs in several ways, and
    natively it is always the same one. Kept in .native beside the program until that changes."""
    key = [*command, *(e for e in options.env if not e.startswith("RADDLE_"))]
    for file in command:
        if os.path.isfile(file):
            key.append(str(os.stat(file).st_mtime_ns))
    name = hashlib.sha256("\0".join(key).encode()).hexdigest()[:24]
    kept = os.path.join(os.path.dirname(os.path.abspath(command[0])), ".native", name)
    try:
        with open(kept, "rb") as file:
            return Result(0, file.read(), b"", None)
    except OSError:
        pass
    native = run(command, environment, options.timeout, options.orphans)
    if native.status == 0:
        try:
            os.makedirs(os.path.dirname(kept), exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=os.path.dirname(kept), delete=False) as file:
                file.write(native.stdout)
            os.rename(file.name, kept)
        except OSError:
            pass  # a directory that is not ours
    return native


def main():
    parser = argparse.ArgumentParser(description="Runs one test program under supervision.")
    parser.add_argument("--preload", metavar="LIB", help="library to put into LD_PRELOAD")
    parser.add_argument("--linked", metavar="PROG2", help="PROG linked with the library")
    parser.add_argument("--compare", action="store_true", help="run natively first, compare stdout")
    parser.add_argument("--orphans", action="store_true", help="may leave processes behind")
    parser.add_argument("--env", metavar="K=V", action="append", default=[])
    parser.add_argument("--timeout", metavar="S", type=float, default=80, help="for each run")
    parser.add_argument("program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()

    environment = dict(os.environ)
    for pair in options.env:
        key, equals, value = pair.partition("=")
        if not equals:
            parser.error(f"--env {pair}: expected K=V")
        environment[key] = value
    command = [options.program, *options.arguments]

    # Meson and people may interrupt us: leave nothing behind then either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    become_reaper()

    native = None
    if options.compare and (options.preload or options.linked):
        native = native_run(command, options, environment)
        if native.status != 0:
            show("native run", native)
            return native.status
    label = "native run"
    if options.linked:
        label = "linked run"
        command[0] = options.linked
    if options.preload:
        label = "preloaded run"
        library = os.path.abspath(options.preload)
        if not os.path.exists(library):
            sys.stderr.write(f"run.py: {options.preload}: no such library\n")
            return 2
        before = environment.get("LD_PRELOAD")
        environment["LD_PRELOAD"] = f"{library}:{before}" if before else library
    result = run(command, environment, options.timeout, options.orphans)
    # ld.so only warns when it cannot preload; the test would then pass without testing anything.
    if options.preload and b"cannot be preloaded" in result.stderr:
        result.status, result.note = 2, "the library was not preloaded"
    # Nor would a library that has no effect make a difference.
    if b"loaded behind the C library" in result.stderr:
        result.status, result.note = 2, "the library is not in front of libc"
    show(label, result)
    if native and native.stdout and result.status == 0 and result.stdout != native.stdout:
        sys.stderr.write("run.py: standard output differs; natively it was:\n")
        sys.stderr.flush()
        sys.stderr.buffer.write(native.stdout)
        return DIFFERS
    return result.status


if __name__ == "__main__":
    sys.exit(main())
