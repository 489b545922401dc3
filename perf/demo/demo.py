#!/usr/bin/env python3
"""What `make demo` shows: real thread-per-connection web servers, unmodified, first on kernel
threads and then under raddle, with every answer checked.

    libmicrohttpd's thread-per-connection mode (mhd_server.c, an ordinary C program)
    python3's ThreadingHTTPServer (http_server.py)

Exit status 1 when an answer was wrong or missing under raddle, 2 when a server did not run.
"""

import argparse
import os
import resource
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import runner

# Name, connections, seconds to warm up and to measure.
MHD = ("libmicrohttpd, one thread per connection", 2000, 1.0, 5.0)
PYTHON = ("python3 ThreadingHTTPServer", 200, 1.0, 5.0)


def server_command(args, name):
    if name == "mhd":
        return [os.path.join(args.build, "perf", "demo", "mhd_server")]
    return [sys.executable or "python3", os.path.join(HERE, "http_server.py")]


def run(args, command, under_raddle, connections, warm, seconds):
    env = runner.environment()
    if under_raddle:
        launcher = os.path.join(args.build, "raddle")
        if os.path.exists(launcher):
            command = [launcher, *command]
        else:
            env = runner.environment(os.path.join(args.build, "libraddle.so"))
    load = [os.path.join(args.build, "perf", "demo", "http_load"), "-c", str(connections),
            "-m", "100", "-M", "1000", "-w", str(warm), "-s", str(seconds)]
    time.sleep(0.5)
    with runner.Server(command, env, expect_library=under_raddle) as server:
        return runner.load(load, server, timeout=35)


ROWS = [
    ("requests/s", lambda r: f"{r['rps']:,.0f}", lambda r: r["rps"]),
    ("median latency", lambda r: f"{r['p50_us'] / 1e3:.2f} ms", lambda r: r["p50_us"]),
    ("99th percentile", lambda r: f"{r['p99_us'] / 1e3:.2f} ms", lambda r: r["p99_us"]),
    ("server CPU a request", lambda r: f"{r['cpu_us_per_req']:.1f} us",
     lambda r: r["cpu_us_per_req"]),
    ("server memory + page tables", lambda r: f"{(r['rss_kb'] + r['pte_kb']) / 1024:,.0f} MB",
     lambda r: r["rss_kb"] + r["pte_kb"]),
    ("memory the system lost", lambda r: f"{r['mem_load_kb'] / 1024:,.0f} MB",
     lambda r: r["mem_load_kb"]),
    ("kernel threads", lambda r: f"{r['threads']:,.0f}", lambda r: r["threads"]),
    ("context switches a request", lambda r: f"{r['vcsw_per_req'] + r['ivcsw_per_req']:.3f}",
     lambda r: r["vcsw_per_req"] + r["ivcsw_per_req"]),
    ("wrong or missing answers", lambda r: f"{r['errors'] + r['unserved']:,.0f}", None),
    ("answers checked", lambda r: f"{r['requests']:,.0f}", None),
]


def ratio(native, raddle):
    """How raddle compares; nothing where a figure is too small to divide by."""
    if native <= 0 or raddle < 0:
        return ""
    r = raddle / native
    return f"x {r:.2f}" if r >= 0.01 else f"x {r:.4f}"


def show(title, connections, native, raddle):
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{title}{plain}: {connections:,} keep-alive connections, all active")
    print(f"  {'':30}{'kernel threads':>16}{'raddle':>16}{'ratio':>12}")
    for name, text, value in ROWS:
        cells = [text(r) if r else "-" for r in (native, raddle)]
        both = value and native and raddle
        print(f"  {name:30}{cells[0]:>16}{cells[1]:>16}"
              f"{ratio(value(native), value(raddle)) if both else '':>12}".rstrip())
    sys.stdout.flush()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", default="build", help="build directory (build)")
    p.add_argument("--connections", type=int, help="instead of 2,000 and 200")
    p.add_argument("--seconds", type=float, help="measured time of each of the four runs (5)")
    p.add_argument("--only", choices=["mhd", "python"], help="one server only")
    p.add_argument("--native", action="store_true", help="without raddle, to try the demo itself")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    runner.prepare()

    if not os.path.exists(os.path.join(args.build, "perf", "demo", "http_load")):
        sys.exit(f"nothing built in {args.build}: run make first")
    if not args.native and not os.path.exists(os.path.join(args.build, "libraddle.so")):
        sys.exit(f"{args.build}/libraddle.so is missing: run make first")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100
    status = 0
    for name, (title, connections, warm, seconds) in (("mhd", MHD), ("python", PYTHON)):
        if args.only not in (None, name):
            continue
        if name == "mhd" and not os.path.exists(server_command(args, name)[0]):
            print("libmicrohttpd-dev is not installed: the C server is left out")
            continue
        connections = args.connections or connections
        if connections > limit:
            print(f"only {limit:,} connections: the limit on open files (ulimit -Hn) is low")
            connections = limit
        found = {}
        for under_raddle in (False,) if args.native else (False, True):
            where = "under raddle" if under_raddle else "on kernel threads"
            print(f"{title} {where}...", file=sys.stderr, flush=True)
            try:
                found[under_raddle] = result = run(args, server_command(args, name), under_raddle,
                                                   connections, warm, args.seconds or seconds)
            except (runner.Failed, OSError) as why:
                print(f"{title} {where} failed: {why}", file=sys.stderr)
                status = max(status, 2 if under_raddle else 0)
                continue
            wrong = result["errors"] + result["unserved"]
            if wrong or not result["requests"]:
                print(f"{title} {where}: {result['complaints'] or 'no answers'}", file=sys.stderr)
                status = max(status, 1 if under_raddle else 0)
        show(title, connections, found.get(False), found.get(True))
    print()
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        runner.end_all()
