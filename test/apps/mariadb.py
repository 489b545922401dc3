"""MariaDB with one thread per connection: transactions, locks and sleeps with known results, then
sysbench, then many idle connections."""

import random
import re
import threading
import time

from common import Failed, Watch, at_once, row
from mysql import Connection, Error

CONFIGURATION = """[mysqld]
datadir={dir}/data
socket={dir}/socket
pid-file={dir}/pid
skip-networking
max_connections=11000
thread_handling=one-thread-per-connection
thread_stack=256K
back_log=4000
innodb_flush_log_at_trx_commit=2
"""
ACCOUNTS, MONEY = 100, 1000


def _mariadb(run):
    run.own(run.path("data"), "mysql")
    run.own(run.dir, "mysql")
    user = "mysql"
    run.output(["mariadb-install-db", "--no-defaults", "--datadir=" + run.path("data"), "--skip-test-db",
                "--auth-root-authentication-method=normal"], under=False, user=user, timeout=60)
    conf = run.write("my.cnf", CONFIGURATION.format(dir=run.dir))
    server = run.start(["mariadbd", "--defaults-file=" + conf], user=user)

    def up():
        try:
            with _connect(run) as c:
                return c.query("SELECT 1") == [["1"]]
        except Error:
            return False
    run.await_it(server, up, 60, "no answer to SELECT 1")
    with _connect(run) as c:
        c.query("CREATE DATABASE IF NOT EXISTS t")
    return server


def _connect(run, database="", timeout=100):
    return Connection(run.path("socket"), database=database, timeout=timeout)


def _transfers(run, clients, each):
    """Money moves between accounts in transactions. None may appear or vanish."""
    def one(number):
        dice, done = random.Random(number), 0
        with _connect(run, "t") as c:
            while done < each:
                a, b = dice.sample(range(ACCOUNTS), 2)
                try:
                    c.query("BEGIN")
                    c.query(f"UPDATE account SET money = money - 1 WHERE id = {a}")
                    c.query(f"UPDATE account SET money = money + 1 WHERE id = {b}")
                    # Some give up.
                    c.query("ROLLBACK" if done % 7 == 3 else "COMMIT")
                    done += 1
                except Error as why:
                    if why.number not in (1213, 1205, 1020):  # deadlock: try again
                        raise
        return done
    return sum(at_once(one, range(clients), clients))


def _unique(run, clients, each):
    def one(number):
        with _connect(run, "t") as c:
            for k in range(each):
                c.query(f"INSERT INTO numbers (who, what) VALUES ({number}, {k})")
    at_once(one, range(clients), clients)


def _named_lock(run):
    """GET_LOCK lets one in at a time, SLEEP sleeps and can be killed."""
    inside, most, guard = [0], [0], threading.Lock()

    def one(number):
        with _connect(run) as c:
            if c.query("SELECT GET_LOCK('one', 20)") != [["1"]]:
                return "no lock"
            with guard:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            slept = c.query("SELECT SLEEP(0.02)")
            with guard:
                inside[0] -= 1
            return slept, c.query("SELECT RELEASE_LOCK('one')")
    answers = at_once(one, range(12), 12)
    with _connect(run) as c:
        timed_out = []
        with _connect(run) as holder:
            holder.query("SELECT GET_LOCK('two', 1)")
            timed_out = c.query("SELECT GET_LOCK('two', 0.2)")
        sleeper = _connect(run)
        number = sleeper.query("SELECT CONNECTION_ID()")[0][0]
        said = []

        def sleep():
            try:
                said.append(sleeper.query("SELECT SLEEP(60)"))
            except (Error, OSError) as why:
                said.append(str(why)[:4])
        thread = threading.Thread(target=sleep)
        thread.start()
        until = time.monotonic() + 10
        while time.monotonic() < until and not c.query(
                f"SELECT 1 FROM information_schema.processlist WHERE id = {number} AND state = 'User sleep'"):
            time.sleep(0.02)
        c.query(f"KILL QUERY {number}")
        thread.join(20)
        sleeper.socket.close()
    return answers, most[0], timed_out, said


def _sysbench(run, server, workload, threads, seconds, beside=""):
    base = ["sysbench", "--db-driver=mysql", "--mysql-socket=" + run.path("socket"), "--mysql-user=root",
            "--mysql-db=t", "--tables=1", "--table-size=10000"]
    with Watch(server.pid) as watch:
        out, _ = run.output([*base, f"--threads={threads}", f"--time={seconds}", "--percentile=99", workload, "run"],
                            under=False, timeout=seconds + 60)
    text = out.decode()
    rate = re.search(r"queries:\s+\d+\s+\(([\d.]+) per sec", text)
    p99 = re.search(r"99th percentile:\s+([\d.]+)", text)
    run.check(rate and float(rate[1]) > 0, f"{workload}, {threads} threads: no result: {text[-200:]}")
    if rate:
        run.figures(f"{workload.replace('oltp_', '')}, {threads} threads{beside}", throughput=float(rate[1]),
                    p99=float(p99[1]), memory=watch.kilobytes, threads=watch.threads)


def _idle(run, server, count):
    """Many connections, of which 64 work (sysbench does) and all answer."""
    idle = at_once(lambda _: _connect(run, timeout=60), range(count), 8)
    try:
        threads = int(idle[0].query("SHOW STATUS LIKE 'Threads_connected'")[0][1])
        run.check(threads >= count, f"only {threads} connections of {count}")
        if not run.quick:
            _sysbench(run, server, "oltp_point_select", 64, 4, f", {count:,} idle")
        wrong = [a for a in at_once(lambda c: c.query("SELECT 41 + 1"), idle, 8) if a != [["42"]]]
        run.check(not wrong, f"{len(wrong)} of {count} idle connections do not answer")
    finally:
        for c in idle:
            c.socket.close()


@row("mariadb", "mariadb-server", "one per connection, up to 10,000", ["mariadbd", "sysbench"], limit=400)
def mariadb(run):
    server = _mariadb(run)
    clients = 16 if run.quick else 64
    with _connect(run, "t") as c:
        c.query("CREATE TABLE account (id INT PRIMARY KEY, money INT) ENGINE=InnoDB")
        c.query("INSERT INTO account VALUES " + ",".join(f"({i},{MONEY})" for i in range(ACCOUNTS)))
        c.query("CREATE TABLE numbers (id INT AUTO_INCREMENT PRIMARY KEY, who INT, what INT) ENGINE=InnoDB")
    run.answer("transfers", _transfers(run, clients, 20))
    _unique(run, clients, 50)
    with _connect(run, "t") as c:
        run.answer("sum of the accounts", c.query("SELECT SUM(money) FROM account"))
        run.check(c.query("SELECT SUM(money) FROM account") == [[str(ACCOUNTS * MONEY)]], "money was lost or made")
        run.answer("AUTO_INCREMENT", c.query("SELECT COUNT(*), COUNT(DISTINCT id), COUNT(DISTINCT who, what) FROM numbers"))
    run.answer("GET_LOCK and SLEEP", _named_lock(run))
    run.output(["sysbench", "--db-driver=mysql", "--mysql-socket=" + run.path("socket"), "--mysql-user=root",
                "--mysql-db=t", "--tables=1", "--table-size=10000", "oltp_read_write", "prepare"], under=False)
    for threads in (16,) if run.quick else (64, 1000):
        for workload in "oltp_point_select", "oltp_read_write":
            _sysbench(run, server, workload, threads, 1 if run.quick else 5)
    _idle(run, server, 300 if run.quick else 10000)
    with _connect(run, "t") as c:
        run.answer("CHECK TABLE", c.query("CHECK TABLE account, numbers, sbtest1 EXTENDED"))
    run.stop(server, patience=60)
    with open(server.log, errors="replace") as f:
        bad = [line.strip() for line in f if re.search(r"\[ERROR\]|got signal|Assertion", line)]
    run.check(not bad, f"in its log: {bad[:2]}")
