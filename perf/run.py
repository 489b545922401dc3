#!/usr/bin/env python3
"""Measures every figure of perf/ side by side: the same binary natively and preloaded, and for the
echo servers also Go and a hand-written epoll server. See README.md for how to read the tables.

Rounds are interleaved and the order of the variants rotates from round to round, so that a change
of the machine's mood falls on all of them. What is printed are medians of the rounds; a ratio is
the median of the rounds' ratios. Missed targets are shown and never fail the run; a program that
fails, or a wrong answer, does.
"""

import argparse
import collections
import json
import os
import platform
import shutil
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import runner

# What a target compares: raddle's value itself, or its ratio to another variant's, or its
# difference from native's.
Target = collections.namedtuple("Target", "metric kind limit at_least", defaults=(False,))

Program = collections.namedtuple("Program", "about argument quick metrics targets")
Echo = collections.namedtuple("Echo", "about connections active targets")

PROGRAMS = {
    "create_join": Program(
        "pthread_create + pthread_join of an empty body", "1.5", "0.4",
        {"create_join": "ns", "create_join_batch64": "ns"},
        [Target("create_join", "value", 500)]),
    "cond_pingpong": Program(
        "condition variable round trip, two threads", "2", "0.5",
        {"cond_pingpong": "ns"}, [Target("cond_pingpong", "value", 400)]),
    "yield": Program(
        "sched_yield, eight threads", "1.5", "0.4",
        {"yield": "ns", "yield_cpu": "ns"}, [Target("yield", "value", 100)]),
    "mutex": Program(
        "mutex lock + unlock", "1", "0.3",
        {"mutex": "ns", "mutex_contended4": "ns"}, [Target("mutex", "value", 11)]),
    "pipe_pingpong": Program(
        "one byte through two pipes and back", "2", "0.5",
        {"pipe_pingpong": "ns", "pipe_pingpong_cpu": "ns"},
        [Target("pipe_pingpong", "value", 8000)]),
    "socketpairs": Program(
        "200 socketpairs ping-ponging at once", "2", "0.5",
        {"socketpairs200": "ns", "socketpairs200_cpu": "ns"}, []),
    "cold_files": Program(
        "10,000 threads, each reads a file that is not in the page cache", "10000", "2000",
        {"cold_files": "us", "cold_files_cpu": "us", "cold_files_kernel_threads": "threads"},
        [Target("cold_files", "native", 1.0), Target("cold_files_kernel_threads", "value", 10)]),
    "omp64": Program(
        "an OpenMP loop with 64 threads", "2", "0.5",
        {"omp64": "us", "omp64_cpu": "us"}, [Target("omp64", "native", 1.0)]),
    "handoff": Program(
        "short system calls, through libc's function more than as an instruction", None, None,
        {f"handoff_{call}_more": "ns" for call in ("getrandom", "msync", "ioctl", "fcntl", "open")},
        # The last are two calls, open and close.
        [Target(f"handoff_{call}_more", "plus", 40)
         for call in ("getrandom", "msync", "ioctl", "fcntl")] +
        [Target("handoff_open_more", "plus", 80)]),
    "parked_memory": Program(
        "10,000 parked threads that ran snprintf + malloc, each", "10000", "10000",
        {"parked_memory": "B", "parked_memory_rss": "B", "parked_memory_tables": "B",
         "parked_memory_system": "B", "parked_memory_kernel_threads": "threads"},
        [Target("parked_memory", "value", 14336),
         Target("parked_memory_system", "value", 14336)]),
    "live100k": Program(
        "100,000 live threads, woken and joined", "100000", "100000",
        {"live100k": "threads", "live100k_create": "ns", "live100k_wake_join": "ns",
         "live100k_memory": "B", "live100k_kernel_threads": "threads"},
        [Target("live100k", "value", 100000, True)]),
    "preempt": Program(
        "four computing threads per CPU: their pauses, and others' latency", "3", "1",
        {"preempt_pause": "us", "preempt_sleep_p99": "us", "preempt_io_p50": "us",
         "preempt_io_p99": "us"},
        [Target("preempt_pause", "value", 100000), Target("preempt_sleep_p99", "value", 40000),
         Target("preempt_io_p99", "value", 15000)]),
    "preempt_cost": Program(
        "one CPU taken from one computing thread and given to another", "2", "0.5",
        {"preempt_cost": "ns", "preempt_switches": "1/s"}, []),
    "idle_cpu": Program(
        "200 blocked threads", "3", "1",
        {"idle_cpu": "ms/s", "idle_cpu_rusage": "ms/s", "idle_switches": "1/s",
         "idle_kernel_threads": "threads"},
        [Target("idle_cpu", "value", 1)]),
}

CPU_TARGETS = [Target("cpu_us_per_req", "native", 0.65), Target("cpu_us_per_req", "go", 1.0)]

ECHOES = {
    "echo64": Echo("64 connections, all active", 64, 64, CPU_TARGETS),
    "echo1k": Echo("1,000 connections, all active", 1000, 1000, CPU_TARGETS),
    "echo10k": Echo("10,000 connections, all active", 10000, 10000,
                    CPU_TARGETS + [Target("memory_mb", "value", 250),
                                   Target("threads", "value", 16)]),
    "echo10k_100": Echo("10,000 connections, 100 active", 10000, 100,
                        [Target("rps", "native", 1.5, True), Target("p99_us", "native", 1.0),
                         Target("memory_mb", "value", 250), Target("threads", "value", 16)]),
}

STARTUP = Program("`raddle true` against `true`", None, None, {"startup": "us"},
                  [Target("startup", "plus", 1000)])

FIGURES = ["startup", *PROGRAMS, *ECHOES]
VARIANTS = ["native", "raddle", "go", "epoll"]


def say(text):
    """Progress goes to standard error, tables to standard output."""
    print(text, file=sys.stderr, flush=True)


def measure_startup(build, lib, quick):
    """Median microseconds from spawn to exit, alternating. {variant: {metric: value}}."""
    true = shutil.which("true")
    launcher = os.path.join(build, "raddle")
    kinds = {"native": ([true], runner.environment())}
    if os.path.exists(launcher):
        kinds["raddle"] = ([launcher, true], runner.environment())
    elif lib:
        kinds["raddle"] = ([true], runner.environment(lib))
    times = {kind: [] for kind in kinds}
    for _ in range(100 if quick else 400):
        for kind, (argv, env) in kinds.items():
            start = time.perf_counter()
            pid = os.posix_spawn(argv[0], argv, env)
            status = os.waitpid(pid, 0)[1]
            times[kind].append((time.perf_counter() - start) * 1e6)
            if status:
                raise runner.Failed(f"startup: {' '.join(argv)} ended with status {status}")
    return {kind: {"startup": statistics.median(t)} for kind, t in times.items()}


def build_go(build):
    """Path of the Go server, or None with a line that says why."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "echo_go")
    go = shutil.which("go")
    if not go:
        say("go is not installed: its column is left out")
        return None
    out = os.path.join(os.path.abspath(build), "perf", "echo_go")
    env = runner.environment(
        GO111MODULE="on", GOFLAGS="-mod=mod", GOPROXY="off", GOTOOLCHAIN="local",
        CGO_ENABLED="0", GOCACHE=os.path.join(os.path.abspath(build), "perf", "go-cache"))
    try:
        # Older than 1.20, go has no option for the directory.
        runner.output_of(["sh", "-c", 'cd "$1" && exec "$2" build -o "$3" .', "go build", source,
                          go, out], env, timeout=180)
    except runner.Failed as why:
        say(f"the Go server does not build, its column is left out: {why}")
        return None
    return out


def echo_once(args, key, variant, program):
    echo = ECHOES[key]
    warm, seconds = ("0.4", "1.2") if args.quick else ("1", str(args.seconds))
    env = runner.environment(args.lib if variant == "raddle" else None, GOMAXPROCS="2")
    load = [os.path.join(args.build, "perf", "load"), "-c", str(echo.connections),
            "-a", str(echo.active), "-w", warm, "-s", seconds]
    # What the last server left behind is freed a little after it has gone.
    time.sleep(0.5)
    with runner.Server([program], env, expect_library=variant == "raddle") as server:
        result = runner.load(load, server, timeout=90)
    result["memory_mb"] = max(result["mem_rest_kb"], result["mem_load_kb"]) / 1024
    complaints = result.pop("complaints")
    wrong = int(result["errors"] + result["unserved"])
    if wrong or not result["requests"]:
        first = complaints.splitlines()[0] if complaints else "no answers"
        raise runner.Failed(f"{key}, {variant}: {wrong} wrong or missing answers: {first}")
    if not server.polite:
        say(f"{key}, {variant}: the server did not end on SIGTERM")
    return result


def program_once(args, key, variant):
    program = PROGRAMS[key]
    argv = [os.path.join(args.build, "perf", key)]
    if program.argument:
        argv.append(program.quick if args.quick else program.argument)
    if not os.path.exists(argv[0]):
        raise runner.Failed(f"{key} was not built: its compiler or libraries are missing")
    env = runner.environment(args.lib if variant == "raddle" else None)
    return runner.figures_of(runner.output_of(argv, env, timeout=120))


def measure(args, figures, variants, servers):
    """{figure: {variant: {metric: [values]}}} and a list of failures."""
    results, failures, given_up = {}, [], set()
    for round_number in range(args.rounds):
        for key in figures:
            say(f"round {round_number + 1} of {args.rounds}: {key}")
            if key == "startup":
                jobs = [None]
            elif key in PROGRAMS:
                jobs = [v for v in variants if v in ("native", "raddle")]
            else:
                jobs = [v for v in variants if v in servers]
            turn = round_number % len(jobs) if jobs else 0
            for variant in jobs[turn:] + jobs[:turn]:
                if (key, variant) in given_up:
                    continue
                try:
                    if key == "startup":
                        values = measure_startup(args.build, args.lib, args.quick)
                    elif key in PROGRAMS:
                        values = {variant: program_once(args, key, variant)}
                    else:
                        values = {variant: echo_once(args, key, variant, servers[variant])}
                except (runner.Failed, OSError) as why:
                    say(f"  FAILED {variant or ''}: {why}")
                    failures.append((key, variant, str(why)))
                    # One failure of a kind is enough: it may have cost a timeout.
                    given_up.add((key, variant))
                    continue
                for kind, metrics in values.items():
                    for metric, value in metrics.items():
                        results.setdefault(key, {}).setdefault(kind, {}).setdefault(
                            metric, []).append(value)
    return results, failures


def medians(results):
    return {key: {variant: {m: statistics.median(v) for m, v in metrics.items()}
                  for variant, metrics in by_variant.items()}
            for key, by_variant in results.items()}


def ratio(values, metric, other):
    """
    The median over the rounds of raddle's value divided by another variant's of the same round:
    the machine's speed may differ from round to round by more than the variants do.
    """
    try:
        pairs = list(zip(values["raddle"][metric], values[other][metric]))
        return statistics.median(a / b for a, b in pairs) if pairs else None
    except (KeyError, ZeroDivisionError):
        return None


def judge(target, values):
    """(what is compared, met) of a target, or None where a variant is missing."""
    if target.kind in VARIANTS:
        value = ratio(values, target.metric, target.kind)
    else:
        try:
            value = statistics.median(values["raddle"][target.metric])
            if target.kind == "plus":
                value -= statistics.median(values["native"][target.metric])
        except KeyError:
            value = None
    if value is None:
        return None
    return value, value >= target.limit if target.at_least else value <= target.limit


def number(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def target_text(target):
    sign = ">=" if target.at_least else "<="
    if target.kind == "plus":
        return f"{sign} native + {number(target.limit)}"
    if target.kind == "value":
        return f"{sign} {number(target.limit)}"
    return f"{sign} {target.limit:.2f} x {target.kind}"


def table(rows):
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join([row[0].ljust(widths[0])] +
                        [cell.rjust(w) for cell, w in zip(row[1:], widths[1:])]).rstrip())
    print()


def print_programs(results):
    rows = [("figure", "unit", "native", "raddle", "raddle/native", "target", "met")]
    for key, program in {"startup": STARTUP, **PROGRAMS}.items():
        values = results.get(key)
        if not values:
            continue
        for metric, unit in program.metrics.items():
            cells = [number(statistics.median(values[v][metric]))
                     if metric in values.get(v, {}) else "-" for v in ("native", "raddle")]
            r = ratio(values, metric, "native")
            target = next((t for t in program.targets if t.metric == metric), None)
            verdict = judge(target, values) if target else None
            rows.append((metric, unit, *cells, "-" if r is None else f"{r:.3f}",
                         target_text(target) if target else "",
                         "" if verdict is None else "yes" if verdict[1] else "NO"))
    if len(rows) > 1:
        table(rows)


ECHO_COLUMNS = [("cpu us/req", "cpu_us_per_req", 1), ("load us/req", "load_us_per_req", 1),
                ("req/s", "rps", 1), ("p50 ms", "p50_us", 1e-3), ("p99 ms", "p99_us", 1e-3),
                ("max ms", "max_us", 1e-3), ("memory MB", "memory_mb", 1),
                ("threads", "threads", 1)]


def print_echoes(results):
    for key, echo in ECHOES.items():
        values = results.get(key)
        if not values:
            continue
        rows = [(f"{key}: {echo.about}".ljust(45), *(c[0] for c in ECHO_COLUMNS), "switches/req",
                 "starved")]
        for variant in VARIANTS:
            m = {name: statistics.median(v) for name, v in values.get(variant, {}).items()}
            if m:
                rows.append((f"  {variant}", *(number(m[name] * scale) if name != "threads"
                                               else f"{m[name]:,.0f}"
                                               for _, name, scale in ECHO_COLUMNS),
                             f"{m['vcsw_per_req'] + m['ivcsw_per_req']:.3f}",
                             f"{m['starved']:.0f}"))
        table(rows)
        lines = [f"  {target.metric} {number(verdict[0])}, target {target_text(target)}: "
                 f"{'met' if verdict[1] else 'NOT MET'}"
                 for target in echo.targets if (verdict := judge(target, values))]
        for other in ("native", "go", "epoll"):
            cpu, rps, p99 = (ratio(values, m, other) for m in ("cpu_us_per_req", "rps", "p99_us"))
            if cpu:
                lines.append(f"  raddle/{other}: cpu per request {cpu:.2f}, requests/s {rps:.2f}, "
                             f"p99 {p99:.2f}")
        if lines:
            print("\n".join(lines) + "\n")


def count_targets(results):
    verdicts = [judge(t, results[key])
                for key, figure in {"startup": STARTUP, **PROGRAMS, **ECHOES}.items()
                if key in results for t in figure.targets]
    verdicts = [v for v in verdicts if v]
    return sum(v[1] for v in verdicts), len(verdicts)


def busy_share():
    """The share of CPU time others use now. The load average would still show our last run."""
    def ticks():
        with open("/proc/stat") as f:
            t = [int(x) for x in f.readline().split()[1:9]]
        return sum(t), t[3] + t[4]

    before = ticks()
    time.sleep(0.5)
    total, idle = (b - a for a, b in zip(before, ticks()))
    return 1 - idle / total if total else 0


def machine():
    model = ""
    try:
        with open("/proc/cpuinfo") as f:
            model = next((line.split(":", 1)[1].strip() for line in f
                          if line.startswith("model name")), "")
    except OSError:
        pass
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release(),
            "libc": " ".join(platform.libc_ver()), "busy": busy_share()}


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", default="build", help="build directory (build)")
    p.add_argument("--lib", help="the library (BUILD/libraddle.so)")
    p.add_argument("--figures", help=f"some of {','.join(FIGURES)}; 'echo' means all echoes")
    p.add_argument("--variants", help=f"some of {','.join(VARIANTS)}")
    p.add_argument("--rounds", type=int, help="interleaved rounds to take medians of (3)")
    p.add_argument("--seconds", type=float, default=4, help="measured time of an echo run (4)")
    p.add_argument("--cpus", type=int, default=2, help="CPUs to use; the targets are for 2")
    p.add_argument("--quick", action="store_true", help="one short round, to see that all works")
    p.add_argument("--json", metavar="FILE", help="write every round's values to FILE")
    args = p.parse_args()

    def chosen(text, all_of, word):
        names = []
        for name in text.split(",") if text else all_of:
            some = [n for n in all_of if n == name] or [
                n for n in all_of if name == "echo" and n.startswith("echo")]
            if not some:
                p.error(f"unknown {word} '{name}'; there are: {', '.join(all_of)}")
            names += [n for n in some if n not in names]
        return names

    args.figures = chosen(args.figures, FIGURES, "figure")
    args.variants = chosen(args.variants, VARIANTS, "variant")
    if args.rounds is None:
        args.rounds = 1 if args.quick else 3
    if args.rounds < 1 or args.cpus < 1 or not 0 < args.seconds <= 60:
        p.error("--rounds and --cpus are at least 1, --seconds above 0 and at most 60")
    args.lib = os.path.abspath(args.lib or os.path.join(args.build, "libraddle.so"))
    return args


def main():
    args = arguments()
    runner.prepare()
    runner.keep_to_cpus(args.cpus)
    if not os.path.exists(os.path.join(args.build, "perf", "load")):
        sys.exit(f"no programs in {args.build}/perf: build first (make)")
    if "raddle" in args.variants and not os.path.exists(args.lib):
        say(f"{args.lib} does not exist: its column is left out")
        args.variants.remove("raddle")
    if "raddle" not in args.variants:
        args.lib = None

    servers = {}
    if any(f in ECHOES for f in args.figures):
        for variant in args.variants:
            program = {"native": "echo_server", "raddle": "echo_server", "epoll": "echo_epoll"}
            servers[variant] = (build_go(args.build) if variant == "go" else
                                os.path.join(args.build, "perf", program[variant]))
        servers = {v: p for v, p in servers.items() if p}

    about = machine()
    print(f"{about['cpu']}, {about['cpus']} CPUs used, Linux {about['kernel']}, {about['libc']}; "
          f"medians of {args.rounds} round{'s' if args.rounds > 1 else ''}\n")
    if about["busy"] > 0.1:
        say(f"others use {about['busy']:.0%} of the CPUs: trust the ratios at most")
    results, failures = measure(args, args.figures, args.variants, servers)
    print_programs(results)
    print_echoes(results)
    met, all_of = count_targets(results)
    if all_of:
        print(f"{met} of {all_of} targets met")
    for key, variant, why in failures:
        print(f"FAILED {key} {variant or ''}: {why}")
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"machine": about, "rounds": args.rounds, "quick": args.quick,
                       "medians": medians(results), "values": results,
                       "failures": failures}, f, indent=1)
            f.write("\n")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        runner.end_all()
