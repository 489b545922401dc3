"""Servers with a thread for each connection: libmicrohttpd, and Python's ThreadingHTTPServer. Load and
servers are those of `make demo`, whose load generator checks every byte of every answer. And what
Python's own tests say about its threads."""

import os
import re
import select
import signal
import socket
import sys
import time

from common import ROOT, Skip, Watch, at_once, row

import runner  # perf/runner.py

DEMO = os.path.join(ROOT, "perf", "demo")


def _start(run, argv):
    server = run.start(argv)

    def port():
        with open(server.log) as f:
            said = re.match(r"port (\d+)\n", f.read())
        server.port = int(said[1]) if said else None
        return said
    run.await_it(server, port, 30, "the server did not say its port")
    return server


def _load(run, server, load, connections, active, seconds, warm=1.0):
    with Watch(server.pid, every=max(0.5, connections / 4000)) as watch:
        out, err = run.output([os.path.join(run.build, "perf", "demo", "http_load"), "-p", server.port,
                               "-P", server.pid, "-c", connections, "-a", active, "-w", warm, "-s", seconds,
                               "-m", "100", "-M", "1000"], under=False, timeout=seconds + warm + 60, status=None)
    found = runner.pairs_of(out.decode())
    run.check(found["requests"] > 0, f"{load}: no request was answered")
    run.check(found["errors"] == 0, f"{load}: {found['errors']:.0f} wrong answers: {err.decode().strip()[:200]}")
    run.check(found["unserved"] == 0, f"{load}: {found['unserved']:.0f} connections got no answer")
    run.figures(load, throughput=found["rps"], p99=found["p99_us"] / 1000, memory=watch.kilobytes,
                threads=watch.threads)


def _come_and_go(port, connections, requests=3):
    """Connections that live for a few requests. Answers the number of right answers."""
    def one(i):
        right = 0
        with socket.create_connection(("127.0.0.1", port), 20) as s, s.makefile("rb") as f:
            for k in range(requests):
                path = b"/churn-%d-%d/%d" % (i, k, 50 + i % 900)
                s.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
                length = 0
                while (line := f.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                body = f.read(length)
                right += len(body) == 50 + i % 900 and body == (path * length)[:length]
        return right
    return sum(at_once(one, range(connections), 32))


@row("libmicrohttpd", "libmicrohttpd-dev", "one per connection, up to 10,000", limit=240, quick=True)
def microhttpd(run):
    program = os.path.join(run.build, "perf", "demo", "mhd_server")
    if not os.path.exists(program):
        raise Skip("perf/demo/mhd_server was not built: libmicrohttpd-dev was missing then")
    server = _start(run, [program])
    run.answer("churn", _come_and_go(server.port, 300 if run.quick else 3000))
    if run.quick:
        _load(run, server, "200 connections", 200, 200, 1)
    else:
        _load(run, server, "1,000 connections", 1000, 1000, 4)
        _load(run, server, "10,000 connections, 64 active", 9900, 64, 4)
        _load(run, server, "10,000 connections", 9900, 9900, 5, warm=2)
    # Stopping the daemon must wake every thread that waits for a request.
    idle = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(100)]
    at_once(lambda s: s.sendall(b"GET /x/10 HTTP/1.1\r\nHost: x\r\n\r\n") or s.recv(1000), idle)
    run.stop(server)
    for s in idle:
        run.check(select.select([s], [], [], 5)[0] and s.recv(10) == b"", "a connection stayed open")
        s.close()


@row("python3 ThreadingHTTPServer", "python3", "one per connection, up to 1,000", limit=120, quick=True)
def python_server(run):
    server = _start(run, ["/usr/bin/python3", os.path.join(DEMO, "http_server.py")])
    run.answer("churn", _come_and_go(server.port, 100 if run.quick else 500))
    if run.quick:
        _load(run, server, "64 connections", 64, 64, 1)
    else:
        _load(run, server, "64 connections", 64, 64, 4)
        _load(run, server, "1,000 connections", 1000, 1000, 5)
    run.stop(server, number=signal.SIGTERM, status=-signal.SIGTERM)


PYTHON_TESTS = ["test_threading", "test_thread", "test_threadsignals", "test_queue", "test_socketserver",
                "test_selectors", "test_signal", "test_subprocess", "test_fork1", "test_httpservers", "test_ssl",
                "test_faulthandler", "test_ctypes", "test_io", "test_concurrent_futures", "test_multiprocessing_fork"]
PYTHON_QUICK = ["test_thread", "test_threadsignals", "test_socketserver"]


@row("CPython's own tests", "libpython3.11-testsuite", "many", limit=900, quick=True)
def python_tests(run):
    for name in PYTHON_QUICK if run.quick else PYTHON_TESTS:
        # This one asks for the resource and stays on the loopback interface; others would not.
        resources = ["-u", "network"] if name == "test_socketserver" else []
        out, err = run.output(["/usr/bin/python3", "-m", "test", *resources, name], timeout=300, status=None)
        text = out.decode(errors="replace") + err.decode(errors="replace")
        verdict = re.findall(r"^Result: (.*)|^Tests result: (.*)", text, re.M)
        bad = re.findall(r"^(?:FAIL|ERROR): (.*)", text, re.M)
        said = "".join(verdict[-1]) if verdict else "ended without a result: " + text[-200:]
        if "testsuite" in said or "No module named" in text:
            raise Skip("libpython3.11-testsuite is not installed")
        run.answer(name, said if not bad else f"{said}: {', '.join(sorted(set(bad)))}")
