"""Servers with an event loop in each of a few threads, which are the case that raddle does not make
better and must not make worse or wrong: nginx, haproxy, unbound, memcached, redis; and stunnel, a proxy
with a thread for each connection that looks up the name of its target for each."""

import os
import re
import signal
import socket
import ssl
import struct
import time

from common import Watch, at_once, checksum, http_get, pattern, row, wrk


def _site(run, count=60):
    os.makedirs(run.path("www"))
    for i in range(count):
        with open(run.path("www", f"f{i}"), "wb") as f:
            f.write(pattern(1 + i * i * 150, seed=i))
    return run.path("www")


def _bodies(port, count=60):
    def one(i):
        status, body = http_get(port, f"/f{i}", timeout=20)
        return status, checksum(body)
    return at_once(one, range(count))


def _seconds(run):
    return 1 if run.quick else 4


NGINX = """
daemon off; worker_processes 2; pid {dir}/pid; error_log {dir}/errors; {user}
events {{ worker_connections 512; }}
thread_pool default threads=8;
http {{
  access_log off; aio threads; sendfile off;
  client_body_temp_path {dir}/t; proxy_temp_path {dir}/t; fastcgi_temp_path {dir}/t;
  uwsgi_temp_path {dir}/t; scgi_temp_path {dir}/t;
  server {{ listen 127.0.0.1:{port}; root {dir}/www; }}
}}
"""


def _nginx(run):
    port = run.port()
    _site(run)
    conf = run.write("nginx.conf", NGINX.format(dir=run.dir, port=port,
                                                user="user www-data;" if os.geteuid() == 0 else ""))
    return port, ["nginx", "-e", run.path("errors"), "-c", conf]


@row("nginx, thread pools", "nginx", "2 processes with 8 and an event loop", ["nginx"])
def nginx(run):
    port, command = _nginx(run)
    server = run.start(command)
    run.await_port(server, port)
    run.answer("bodies", _bodies(port))
    wrk(run, server, "64 connections", port, "/f30", 64, _seconds(run))
    server.send_signal(signal.SIGHUP)  # new workers; the old ones finish what they have
    time.sleep(0.5)
    run.answer("bodies after reload", _bodies(port))
    run.stop(server, signal.SIGQUIT)
    with open(run.path("errors")) as f:
        bad = [line for line in f if re.search(r"\[(alert|emerg|crit)\]", line)]
    run.check(not bad, f"in the error log: {bad[:2]}")


HAPROXY = """
global
  nbthread 4
  maxconn 2000
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s1 localhost:{back}
"""


@row("haproxy", "haproxy", "4 event loops", ["haproxy", "nginx"])
def haproxy(run):
    back, command = _nginx(run)
    behind = run.start(command, under=False)
    run.await_port(behind, back)
    port = run.port()
    server = run.start(["haproxy", "-db", "-f", run.write("haproxy.cfg", HAPROXY.format(port=port, back=back))])
    run.await_port(server, port)
    run.answer("bodies", _bodies(port))
    wrk(run, server, "64 connections", port, "/f5", 64, _seconds(run))
    # Nobody waits for it: connections are closed now.
    run.stop(server, status=None)


STUNNEL = """
foreground = yes
pid =
debug = notice
[s]
accept = 127.0.0.1:{port}
connect = localhost:{back}
delay = yes
cert = {dir}/pem
"""


@row("stunnel", "stunnel4", "one per connection", ["stunnel4", "nginx", "openssl"])
def stunnel(run):
    back, command = _nginx(run)
    behind = run.start(command, under=False)
    run.await_port(behind, back)
    run.output(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                "-keyout", run.path("key"), "-out", run.path("cert")], under=False)
    with open(run.path("pem"), "w") as f:
        for part in "key", "cert":
            with open(run.path(part)) as g:
                f.write(g.read())
    os.chmod(run.path("pem"), 0o600)
    port = run.port()
    server = run.start(["stunnel4", run.write("conf", STUNNEL.format(dir=run.dir, port=port, back=back))])
    run.await_port(server, port)
    tls = ssl.create_default_context(cafile=run.path("cert"))
    tls.check_hostname = False

    def one(i):
        with socket.create_connection(("127.0.0.1", port), 20) as plain:
            with tls.wrap_socket(plain, server_hostname="localhost") as s:
                s.sendall(f"GET /f{i % 60} HTTP/1.0\r\n\r\n".encode())
                data = bytearray()
                while some := s.recv(65536):
                    data += some
        return checksum(bytes(data).partition(b"\r\n\r\n")[2])
    count, since = 120 if run.quick else 1500, time.monotonic()
    with Watch(server.pid) as watch:
        run.answer("bodies", at_once(one, range(count), 32))
    run.figures("32 connections at once", throughput=count / (time.monotonic() - since), memory=watch.kilobytes,
                threads=watch.threads)
    run.stop(server, status=None)


UNBOUND = """
server:
 num-threads: 4
 interface: 127.0.0.1@{port}
 do-daemonize: no
 chroot: ""
 username: ""
 directory: "{dir}"
 pidfile: "{dir}/pid"
 use-syslog: no
 local-zone: "example.test." static
{data}
remote-control:
 control-enable: no
"""


@row("unbound", "unbound", "4", ["unbound"])
def unbound(run):
    data = "\n".join(f' local-data: "n{i}.example.test. IN A 10.1.{i // 250}.{i % 250}"' for i in range(500))
    port = run.port()
    server = run.start(["unbound", "-d", "-c", run.write("conf", UNBOUND.format(dir=run.dir, port=port, data=data))])
    run.await_port(server, port)

    def ask(i, s=None):
        name = b"n%d" % (i % 500)
        query = struct.pack(">HHHHHH", i & 0xffff, 0x100, 1, 0, 0, 0) + bytes([len(name)]) + name \
            + b"\7example\4test\0" + struct.pack(">HH", 1, 1)
        for _ in range(3):  # datagrams may get lost on a busy machine
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(3)
                s.sendto(query, ("127.0.0.1", port))
                try:
                    answer = s.recv(512)
                except socket.timeout:
                    continue
                return answer[:2] == query[:2] and answer[-4:] == bytes([10, 1, i % 500 // 250, i % 500 % 250])
        return False

    def ask_by_tcp(i):
        query = struct.pack(">HHHHHH", i, 0x100, 1, 0, 0, 0) + b"\2n7\7example\4test\0" + struct.pack(">HH", 1, 1)
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.sendall(struct.pack(">H", len(query)) + query)
            return s.recv(512)[-4:] == bytes([10, 1, 0, 7])
    count, since = 1000 if run.quick else 8000, time.monotonic()
    with Watch(server.pid) as watch:
        run.answer("answers", sum(at_once(ask, range(count), 32)))
    run.figures("32 clients", throughput=count / (time.monotonic() - since), memory=watch.kilobytes,
                threads=watch.threads)
    run.answer("answers by TCP", sum(at_once(ask_by_tcp, range(200), 16)))
    run.stop(server)


@row("memcached", "memcached", "4 event loops and 5 helpers", ["memcached"])
def memcached(run):
    port = run.port()
    server = run.start(["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", port, "-t", "4", "-m", "64"])
    run.await_port(server, port)
    each = 100 if run.quick else 600

    def one(i):
        right = 0
        with socket.create_connection(("127.0.0.1", port), 20) as s, s.makefile("rwb") as f:
            for k in range(each):
                value = b"%d-%d-" % (i, k) * (1 + k % 50)
                f.write(b"set k%d 0 0 %d\r\n%s\r\nget k%d\r\nincr all 1\r\n" % (i, len(value), value, i))
                f.flush()
                lines = [f.readline().strip() for _ in range(5)]
                right += lines[0] == b"STORED" and lines[2] == value and lines[4].isdigit()
        return right
    with socket.create_connection(("127.0.0.1", port), 20) as s:
        s.sendall(b"set all 0 0 1\r\n0\r\n")
        run.check(s.recv(100) == b"STORED\r\n", "set was refused")
        since = time.monotonic()
        with Watch(server.pid) as watch:
            run.answer("right answers", sum(at_once(one, range(64), 64)))
        run.figures("64 connections", throughput=64 * each / (time.monotonic() - since), memory=watch.kilobytes,
                    threads=watch.threads)
        s.sendall(b"get all\r\n")
        run.answer("increments", s.recv(1000))
    run.stop(server)


@row("redis, io-threads", "redis-server", "2 to 4 for input and output, 4 in the background", ["redis-server", "redis-benchmark"])
def redis(run):
    port = run.port()
    # As redis.conf advises: fewer than there are processors, for they spin.
    threads = max(2, min(4, len(os.sched_getaffinity(0)) - 1))
    server = run.start(["redis-server", "--port", port, "--bind", "127.0.0.1", "--io-threads", threads,
                        "--io-threads-do-reads", "yes", "--save", "", "--appendonly", "yes", "--dir", run.dir])
    run.await_port(server, port)

    def talk(s, *words):
        s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return s.recv(65536)

    def one(i):
        with socket.create_connection(("127.0.0.1", port), 20) as s:
            for k in range(50 if run.quick else 300):
                talk(s, b"INCR", b"all")
                talk(s, b"SET", b"k%d" % i, b"v" * (k + 1))
            return talk(s, b"GET", b"k%d" % i)
    run.answer("values", [checksum(v) for v in at_once(one, range(64), 64)])
    with socket.create_connection(("127.0.0.1", port), 20) as s:
        run.answer("increments", talk(s, b"GET", b"all"))
        # A child writes the file while the threads go on.
        run.answer("rewriting", talk(s, b"BGREWRITEAOF"))
        run.await_it(server, lambda: b"aof_rewrite_in_progress:0" in talk(s, b"INFO", b"persistence"), 20,
                     "the child that rewrites has not ended")
        run.check(b"aof_last_bgrewrite_status:ok" in talk(s, b"INFO", b"persistence"), "rewriting failed")
    count = 3000 if run.quick else 60000
    with Watch(server.pid) as watch:
        out, _ = run.output(["redis-benchmark", "-p", port, "-n", count, "-c", "64", "-t", "set,get", "--csv"],
                            under=False, timeout=90)
    for test, rate, *_, p99, _ in (line.replace('"', "").split(",") for line in out.decode().splitlines()[1:]):
        run.figures(f"{test}, 64 connections", throughput=float(rate), p99=float(p99), memory=watch.kilobytes,
                    threads=watch.threads)
    run.stop(server)
