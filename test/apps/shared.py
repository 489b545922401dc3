"""PostgreSQL: processes that share memory and semaphores, without threads of their own; and its load
generator, which has threads."""

import re

from common import Watch, row


@row("postgresql and pgbench", "postgresql-15", "processes; pgbench: 8", ["postgres", "initdb", "pgbench"], limit=200)
def postgresql(run):
    user = "postgres"
    run.own(run.dir, user)
    run.output(["initdb", "-D", run.path("data"), "-A", "trust", "-N"], under=False, user=user, timeout=90)
    server = run.start(["postgres", "-D", run.path("data"), "-k", run.dir, "-c", "listen_addresses=",
                        "-c", "fsync=off"], user=user)
    tool = ["-h", run.dir, "-U", user]

    def up():
        out, _ = run.output(["psql", *tool, "-Atc", "SELECT 1", "postgres"], under=False, status=None)
        return out == b"1\n"
    run.await_it(server, up, 60, "no answer to SELECT 1")
    run.output(["pgbench", *tool, "-q", "-i", "postgres"], under=False)
    each = 10 if run.quick else 100
    with Watch(server.pid) as watch:
        out, _ = run.output(["pgbench", *tool, "-n", "-c", "32", "-j", "8", "-t", each, "postgres"], timeout=90)
    text = out.decode()
    run.answer("transactions", re.search(r"number of transactions actually processed: (\S+)", text)[1])
    run.figures("32 connections", throughput=float(re.search(r"tps = ([\d.]+)", text)[1]), memory=watch.kilobytes,
                threads=watch.threads)
    sums, _ = run.output(["psql", *tool, "-Atc",
                          "SELECT (SELECT SUM(abalance) FROM pgbench_accounts) = (SELECT SUM(delta) FROM pgbench_history),"
                          " (SELECT SUM(bbalance) FROM pgbench_branches) = (SELECT SUM(tbalance) FROM pgbench_tellers),"
                          " (SELECT COUNT(*) FROM pgbench_history)", "postgres"])
    run.answer("sums", sums.decode())
    run.stop(server, patience=40)
