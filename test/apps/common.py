"""What the programs of this directory share: the list of rows, and Run, in which a row starts its
program once, natively or under raddle, with a directory, ports and time limits of its own.

A row is a function that takes a Run. It tells the Run three things:

    run.answer(name, value)   what the program answered: must be the same natively and under raddle
    run.check(ok, text)       something that must hold; the text says what is wrong
    run.figures(load, ...)    what a load measured, for the table
    run.note(text)            what raddle says to its user

It must not leave the Run's directory and the loopback interface. What it starts through the Run is
ended after it, orphans included; so whatever else happens, nothing stays.
"""

import ctypes
import glob
import hashlib
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "perf"))
sys.path.insert(0, os.path.join(ROOT, "test"))
import run as supervise  # test/run.py: orphans come to us, and how to end them

_libc = ctypes.CDLL(None, use_errno=True)
PAGE = os.sysconf("SC_PAGE_SIZE")
KERNEL_STACK_KB = 16  # of a kernel thread, on x86-64 and AArch64

rows = []


class Failed(Exception):
    """The row cannot go on; the text says why."""


class Skip(Exception):
    """The row cannot be tried here."""


class Row:
    def __init__(self, function, name, package, threads, needs, limit, quick):
        self.function, self.name, self.package = function, name, package
        self.threads, self.needs, self.limit, self.quick = threads, needs, limit, quick


def row(name, package, threads, needs=(), limit=120, quick=False):
    """Adds a function to the list. threads: words for the table; needs: commands that must be there;
    limit: seconds for one run; quick: part of every quick round, hence of CI."""
    def add(function):
        rows.append(Row(function, name, package, threads, needs, limit, quick))
        return function
    return add


def version_of(package):
    asked = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    # Without epoch and Debian's revision.
    return re.sub(r"^\d+:|[-+~].*$", "", asked.stdout) if asked.returncode == 0 else None


def find_program(name):
    """Its path, also where only the administrator looks, or in a package's own directory."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    # The packaged program is meant, not one that somebody put in front of it.
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin") or shutil.which(name, path=path)
    if not found:
        found = next(iter(sorted(glob.glob(f"/usr/lib/*/*/bin/{name}"))), None)
    return found


FAVOURED = False  # run.py --favoured


def _favour(child):
    """The kernel shares the CPUs among sessions first (autogroups): more for this one."""
    if FAVOURED:
        with open(f"/proc/{child.pid}/autogroup", "w") as f:
            f.write("-20")


def _child():
    _libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def how_it_ended(status):
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def tail(path, lines=3):
    try:
        with open(path, errors="replace") as f:
            return " | ".join(line.strip() for line in f.read().splitlines()[-lines:])
    except OSError:
        return ""


def descendants(pid):
    found = [pid]
    for p in found:
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/children") as f:
                    found += [int(c) for c in f.read().split()]
        except OSError:
            pass
    return found


def figures_of_process(pid):
    """(kernel threads, kilobytes) of a process and all below it. Kilobytes: its share of pages, page
    tables and kernel stacks."""
    threads = kilobytes = 0
    for p in descendants(pid):
        try:
            with open(f"/proc/{p}/status") as f:
                status = f.read()
            with open(f"/proc/{p}/smaps_rollup") as f:
                kilobytes += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1])
            here = int(re.search(r"^Threads:\s+(\d+)", status, re.M)[1])
            kilobytes += int(re.search(r"^VmPTE:\s+(\d+)", status, re.M)[1]) + KERNEL_STACK_KB * here
            threads += here
        except (OSError, TypeError):
            pass
    return threads, kilobytes


class Watch:
    """The most kernel threads and memory that a process has while the block runs."""

    def __init__(self, pid, every=0.5):
        self.pid, self.every = pid, every
        self.threads = self.kilobytes = 0

    def _look(self):
        while True:
            threads, kilobytes = figures_of_process(self.pid)
            self.threads = max(self.threads, threads)
            self.kilobytes = max(self.kilobytes, kilobytes)
            if self.done.wait(self.every):
                return

    def __enter__(self):
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join(30)


class Run:
    def __init__(self, directory, library, args):
        """library: None for the native run."""
        self.dir, self.library = directory, library
        self.top, self.build, self.quick = args.top, args.build, args.quick
        self.answers, self.problems, self.loads, self.said = {}, [], {}, ""

    # --- what a row reports

    def answer(self, name, value):
        self.answers[name] = value

    def check(self, ok, text):
        if not ok:
            self.problems.append(text)
        return ok

    def figures(self, load, **figures):
        """throughput (more is better), p99 in ms, memory in kB, threads: kernel threads; all optional."""
        self.loads[load] = {k: round(v, 4) for k, v in figures.items() if v is not None}

    def note(self, text):
        """A line for the table: what the user sees."""
        self.said = text

    # --- where it happens

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def own(self, path, user):
        """Gives a directory to a user, as far as we may."""
        os.makedirs(path, exist_ok=True)
        if os.geteuid() == 0:
            entry = pwd.getpwnam(user)
            os.chown(path, entry.pw_uid, entry.pw_gid)
        return path

    def port(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    def environment(self, under=True, **more):
        env = {k: v for k, v in os.environ.items()
               if k != "LD_PRELOAD" and not k.startswith(("RADDLE_", "PYTHON", "MESON", "MAKE"))}
        env.update(LANG="C.UTF-8", HOME=self.dir, TMPDIR=self.dir)
        if under and self.library:
            env["LD_PRELOAD"] = self.library
        env.update(more)
        return env

    # --- programs

    def _command(self, argv):
        program = find_program(argv[0]) if "/" not in argv[0] else argv[0]
        if not program:
            raise Skip(f"{argv[0]} is not installed")
        return [program, *map(str, argv[1:])]

    def start(self, argv, under=True, user=None, log=None, env=None, **more):
        """Starts a server in the foreground; its output goes to a file in the directory. As user if we
        are root. Answers a Popen with .log."""
        log = self.path(log or os.path.basename(argv[0]) + ".log")
        who = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} \
            if user and os.geteuid() == 0 else {}
        with open(log, "ab") as out:
            child = subprocess.Popen(self._command(argv), env=self.environment(under, **(env or {})),
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.dir,
                                     start_new_session=True, preexec_fn=_child, **who, **more)
        _favour(child)
        child.log, child.name = log, os.path.basename(argv[0])
        return child

    def output(self, argv, under=True, timeout=60, user=None, env=None, stdin=None, status=0):
        """(standard output, standard error) of a program that must end with this status in time."""
        who = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} \
            if user and os.geteuid() == 0 else {}
        child = subprocess.Popen(self._command(argv), env=self.environment(under, **(env or {})),
                                 stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.dir,
                                 start_new_session=True, preexec_fn=_child, **who)
        name = os.path.basename(argv[0])
        _favour(child)
        try:
            out, err = child.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            report = supervise.thread_report(child.pid)
            raise Failed(f"{name}: not finished after {timeout} s; its kernel threads:\n{report}") from None
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
        if status is not None and child.returncode != status:
            last = " | ".join(err.decode(errors="replace").strip().splitlines()[-3:])
            raise Failed(f"{name}: {how_it_ended(child.returncode)}: {last}")
        return out, err

    def await_port(self, server, port, patience=30):
        def look():
            with socket.create_connection(("127.0.0.1", port), 2):
                return True
        self.await_it(server, look, patience, f"nobody listens on port {port}")

    def await_it(self, server, look, patience, what):
        """Until look() is true (an OSError is a no)."""
        until = time.monotonic() + patience
        while True:
            try:
                if look():
                    return
            except OSError:
                pass
            if server is not None and server.poll() is not None:
                raise Failed(f"{server.name}: {how_it_ended(server.returncode)}: {tail(server.log)}")
            if time.monotonic() > until:
                report = supervise.thread_report(server.pid) if server is not None else ""
                raise Failed(f"{what} after {patience} s; kernel threads:\n{report}")
            time.sleep(0.05)

    def stop(self, server, number=signal.SIGTERM, patience=20, status=0):
        """Ends a server politely; it must end with this status (None: any) and in time."""
        if server.poll() is not None:
            self.check(False, f"{server.name} ended on its own: {how_it_ended(server.returncode)}: "
                              f"{tail(server.log)}")
            return
        server.send_signal(number)
        try:
            server.wait(patience)
        except subprocess.TimeoutExpired:
            self.check(False, f"{server.name} does not end within {patience} s of signal {number}; "
                              f"kernel threads:\n{supervise.thread_report(server.pid)}")
            server.kill()
            server.wait()
            return
        self.check(status is None or server.returncode == status,
                   f"{server.name}: {how_it_ended(server.returncode)} at the end: {tail(server.log)}")


# --- what several rows use

def checksum(data):
    return hashlib.sha256(data).hexdigest()[:16]


def pattern(size, seed=1):
    """Bytes that compress somewhat, the same every time."""
    block = hashlib.sha256(b"%d" % seed).digest()
    out = bytearray()
    while len(out) < size:
        block = hashlib.sha256(block).digest()
        out += block + block[:16] * 2 + b"some words that come again and again\n"
    return bytes(out[:size])


def at_once(function, items, workers=16):
    """The results of function(item), several at a time; raises what it raises."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))


def http_get(port, path, timeout=10):
    """(status, body) of one request on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout) as s:
        s.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        data = bytearray()
        while True:
            some = s.recv(65536)
            if not some:
                break
            data += some
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[1].isdigit():
        raise OSError(f"no HTTP answer but {bytes(data[:60])!r}")
    return int(words[1]), body


def _milliseconds(text):
    number, unit = re.match(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}[unit]


def wrk(run, server, load, port, path, connections, seconds):
    """An HTTP load with wrk: figures, and every answer must be a 200."""
    with Watch(server.pid) as watch:
        out, _ = run.output(["wrk", "-t2", f"-c{connections}", f"-d{seconds}", "--latency", "--timeout", "10",
                             f"http://127.0.0.1:{port}{path}"], under=False, timeout=seconds + 30)
    text = out.decode()
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p99 = re.search(r"99%\s+(\S+)", text)
    run.check(rate and float(rate[1]) > 0, f"{load}: no request was answered")
    bad = re.search(r"Socket errors.*|Non-2xx.*", text)
    run.check(not bad, f"{load}: {bad and bad[0]}")
    run.figures(load, throughput=float(rate[1]) if rate else 0, p99=_milliseconds(p99[1]) if p99 else None,
                memory=watch.kilobytes, threads=watch.threads)
