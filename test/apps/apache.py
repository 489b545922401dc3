"""apache2 with mpm_worker: three children with many threads each, another user, process-shared
mutexes between the children, and a restart in the middle of the load."""

import os
import re
import signal
import threading
import time

from common import at_once, checksum, http_get, pattern, row, wrk

CONFIGURATION = """
ServerRoot /usr/lib/apache2
PidFile {dir}/pid
Listen 127.0.0.1:{port}
Listen 127.0.0.1:{second}
ServerName localhost
Mutex pthread
DefaultRuntimeDir {dir}
LoadModule mpm_worker_module modules/mod_mpm_worker.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule status_module modules/mod_status.so
ErrorLog {dir}/errors
DocumentRoot {dir}/www
ServerLimit 4
StartServers 3
ThreadLimit {threads}
ThreadsPerChild {threads}
MinSpareThreads {threads}
MaxSpareThreads {all}
MaxRequestWorkers {all}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 30
ExtendedStatus On
GracefulShutdownTimeout 5
<Location /status>
SetHandler server-status
</Location>
"""
USER = "User www-data\nGroup www-data\n"


def _apache(run, threads):
    os.makedirs(run.path("www"))
    for i in range(60):
        with open(run.path("www", f"f{i}"), "wb") as f:
            f.write(pattern(1 + i * i * 150, seed=i))
    port, second = run.port(), run.port()
    conf = run.write("conf", CONFIGURATION.format(dir=run.dir, port=port, second=second, threads=threads,
                                                  all=3 * threads) + (USER if os.geteuid() == 0 else ""))
    server = run.start(["apache2", "-f", conf, "-DFOREGROUND"])
    run.await_port(server, port, 60)
    run.await_it(server, lambda: http_get(port, "/f1")[0] == 200, 60, "no answer")
    return server, port, second


def _bodies(port, times=1):
    def one(i):
        status, body = http_get(port, f"/f{i}", timeout=20)
        return status, checksum(body)
    return at_once(one, list(range(60)) * times)


@row("apache2, mpm_worker", "apache2", "3 children with 64 each", ["apache2"], limit=150, quick=True)
def apache(run):
    server, port, second = _apache(run, 64)
    run.answer("bodies", _bodies(port))
    run.answer("bodies of the second port", _bodies(second))
    run.answer("missing file", http_get(port, "/nothing")[0])
    status, page = http_get(port, "/status?auto")
    run.answer("status", (status, sorted(re.findall(rb"^(\w+Workers):", page, re.M))))
    # Everything that is asked while it restarts must be answered.
    stop, wrong = threading.Event(), []

    def ask():
        while not stop.is_set():
            try:
                if http_get(port, "/f7", timeout=20)[0] != 200:
                    wrong.append("not 200")
            except OSError as why:
                wrong.append(str(why))
    askers = [threading.Thread(target=ask) for _ in range(4)]
    for a in askers:
        a.start()
    try:
        for _ in range(1 if run.quick else 3):
            before = http_get(port, "/status?auto")[1]
            server.send_signal(signal.SIGUSR1)
            generation = int(re.search(rb"ParentServerConfigGeneration: (\d+)", before)[1])

            def restarted():
                found = re.search(rb"ParentServerConfigGeneration: (\d+)", http_get(port, "/status?auto")[1])
                return int(found[1]) > generation
            run.await_it(server, restarted, 30, "no graceful restart")
    finally:
        stop.set()
        for a in askers:
            a.join(30)
    run.check(not wrong, f"{len(wrong)} requests failed during a graceful restart: {wrong[:1]}")
    run.answer("bodies after the restart", _bodies(port))
    wrk(run, server, "64 connections", port, "/f3", 64, 1 if run.quick else 4)
    run.stop(server)
    with open(run.path("errors")) as f:
        bad = [line for line in f if re.search(r"segfault|exit signal|did not exit|\[(alert|emerg|crit)\]|:crit|:alert|:emerg", line)]
    run.check(not bad, f"in the error log: {bad[:2]}")


@row("apache2, mpm_worker, many threads", "apache2", "3 children, 5,000 in all", ["apache2"], limit=180)
def apache_many(run):
    threads = 200 if run.quick else 1667
    server, port, _ = _apache(run, threads)
    run.answer("bodies", _bodies(port))
    wrk(run, server, "64 connections", port, "/f3", 64, 1 if run.quick else 4)
    if not run.quick:
        wrk(run, server, "4,000 connections", port, "/f3", 4000, 6)
    run.stop(server, status=None, patience=60)
