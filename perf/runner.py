"""Starts programs and servers for run.py and demo/demo.py, bounded in time and cleaned up after.

Every child gets a session of its own, so that all it starts can be ended together, and the kernel
ends it should we die without a word.
"""

import ctypes
import os
import resource
import select
import signal
import subprocess
import time

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_running = set()


class Failed(Exception):
    """A program could not be measured; the text says why."""


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def prepare():
    """Takes all the descriptors we may have, and leaves no child behind on a signal."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def leave(number, _frame):
        end_all()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def keep_to_cpus(count):
    """Confines us and our children to the first count CPUs we may use; answers their number."""
    cpus = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, cpus)
    return len(cpus)


def environment(lib=None, **extra):
    """Our environment without any preload but lib, and with extra."""
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    if lib:
        env["LD_PRELOAD"] = lib
    env.update(extra)
    return env


def start(argv, env=None, stderr=None):
    child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=stderr, start_new_session=True,
                             preexec_fn=_die_with_parent)
    _running.add(child)
    return child


def end(child, patience=3.0):
    """Ends a child's whole session. Answers False when only SIGKILL helped."""
    polite = True
    try:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(patience)
            except subprocess.TimeoutExpired:
                polite = False
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        child.wait()
    finally:
        child.stdout.close()
        _running.discard(child)
    return polite


def end_all():
    for child in list(_running):
        end(child, patience=0)


def output_of(argv, env=None, timeout=60):
    """Standard output of a program that must end with status 0 in time."""
    child = start(argv, env, stderr=subprocess.PIPE)
    name = os.path.basename(argv[0])
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"{name}: not finished after {timeout} s") from None
    finally:
        end(child, patience=0)
        child.stderr.close()
    err = err.decode(errors="replace").strip()
    if child.returncode:
        how = (f"killed by signal {-child.returncode}" if child.returncode < 0
               else f"exit status {child.returncode}")
        raise Failed(f"{name}: {how}" + (f": {err.splitlines()[-1]}" if err else ""))
    return out.decode(errors="replace")


def figures_of(text):
    """{name: value} of lines "name value unit"."""
    result = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3:
            result[words[0]] = float(words[1])
    return result


def pairs_of(text):
    """{key: value} of the last line of key=value pairs."""
    lines = [line for line in text.splitlines() if "=" in line]
    if not lines:
        raise Failed("the load generator printed no result")
    return {k: float(v) for k, v in (word.split("=", 1) for word in lines[-1].split())}


class Server:
    """A server process: with Server(argv, env) as s: ... s.pid, s.port."""

    def __init__(self, argv, env=None, expect_library=False, patience=20):
        self.name = os.path.basename(argv[-1])
        self.argv, self.env = argv, env
        self.expect_library, self.patience = expect_library, patience

    def __enter__(self):
        self.child = start(self.argv, self.env)
        self.pid = self.child.pid
        self.polite = True
        try:
            self.port = self._port()
            if self.expect_library:
                with open(f"/proc/{self.pid}/maps") as maps:
                    if "libraddle" not in maps.read():
                        raise Failed(f"{self.name}: libraddle.so is not loaded in it")
        except BaseException:
            end(self.child, patience=0)
            raise
        return self

    def _port(self):
        text, until = b"", time.monotonic() + self.patience
        while b"\n" not in text:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.child.stdout], [], [], left)[0]:
                raise Failed(f"{self.name}: said no port within {self.patience} s")
            some = os.read(self.child.stdout.fileno(), 4096)
            if not some:
                raise Failed(f"{self.name}: ended before it listened "
                             f"(status {self.child.wait()})")
            text += some
        words = text.split()
        if len(words) < 2 or words[0] != b"port":
            raise Failed(f"{self.name}: said {text!r} instead of its port")
        return int(words[1])

    def __exit__(self, *_):
        self.polite = end(self.child)
        return False


def load(argv, server, timeout):
    """Runs a load generator against a server. A wrong answer is a result, not a failure."""
    child = start(argv + ["-p", str(server.port), "-P", str(server.pid)], environment(),
                  stderr=subprocess.PIPE)
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"{server.name}: the load was not finished after {timeout} s") from None
    finally:
        end(child, patience=0)
        child.stderr.close()
    err = err.decode(errors="replace").strip()
    if child.returncode not in (0, 1):
        last = err.splitlines()[-1] if err else f"load ended with {child.returncode}"
        raise Failed(f"{server.name}: {last}")
    result = pairs_of(out.decode())
    result["complaints"] = err
    return result
