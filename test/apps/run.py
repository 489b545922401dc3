#!/usr/bin/env python3
"""Real programs: runs each of them natively and under raddle, with the same load and the same check
of what they answer.

    run.py                    everything, with loads long enough to measure
    run.py --quick            the checks, with small loads and without figures, of the rows that CI runs
    run.py --quick --all      the same of all rows
    run.py --only 'maria*'    some rows
    run.py --record           also write the results file, and docs/compatibility.md from it

Exit status 1 when a program under raddle failed a check or answered something else than natively.
A row whose program is not installed is left out and named.
"""

import argparse
import fnmatch
import importlib
import json
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import common

RESULTS = os.path.join(HERE, "results.json")
MODULES = ["mariadb", "apache", "threads", "compress", "servers", "runtimes", "tools", "shared", "refused",
           "behaviour", "cxx"]


class TooLong(Exception):
    pass


def _too_long(*_):
    raise TooLong()


def once(row, library, args):
    """One run of a row. Answers the Run; what went wrong is in its problems."""
    directory = tempfile.mkdtemp(prefix="raddle-apps-", dir=args.top)
    os.chmod(directory, 0o755)
    run = common.Run(directory, library, args)
    # Twice, should the first be swallowed on its way by a handler of everything.
    signal.setitimer(signal.ITIMER_REAL, row.limit, 5)
    try:
        row.function(run)
    except common.Skip:
        raise
    except TooLong:
        run.problems.append(f"not finished after {row.limit} s")
    except common.Failed as why:
        run.problems.append(str(why))
    except Exception as why:  # a broken connection, an answer that nobody can read
        where = traceback.extract_tb(why.__traceback__)[-1]
        run.problems.append(f"{type(why).__name__}: {why} ({os.path.basename(where.filename)}:{where.lineno})")
        if args.verbose:
            traceback.print_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for pid, _ in common.supervise.children():
            common.supervise.kill_all(pid)
        if run.problems and args.keep:
            print(f"    kept: {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return run


def median(runs, load, figure):
    values = [r.loads[load][figure] for r in runs if figure in r.loads.get(load, {})]
    return statistics.median(values) if values else None


def try_row(row, args):
    """{"verdict", "problems", "loads"} of a row, from runs that take turns."""
    sides = {None: [], args.library: []}
    for _ in range(args.rounds):
        for library, runs in sides.items():
            if not args.native_only or library is None:
                runs.append(once(row, library, args))
    native, raddle = sides[None], sides[args.library]
    problems = [p for r in raddle for p in r.problems]
    natively = [p for r in native for p in r.problems]
    for r in raddle:
        for name, value in native[0].answers.items():
            if name in r.answers and r.answers[name] != value:
                problems.append(f"{name}: {r.answers[name]!r}, natively {value!r}")
            elif name not in r.answers and not r.problems:
                problems.append(f"{name}: no answer")
    loads = {}
    for load in (raddle[0].loads if raddle else native[0].loads):
        loads[load] = {side: {f: v for f in ("throughput", "p99", "memory", "threads")
                              if (v := median(runs, load, f)) is not None}
                       for side, runs in (("native", native), ("raddle", raddle))}
    return {"package": row.package, "version": common.version_of(row.package) if row.package else None,
            "threads": row.threads, "verdict": "fails" if problems else "passes",
            "note": raddle[0].said if raddle else "", "problems": problems, "natively": natively, "loads": loads}


def share(found, figure):
    a, b = found["native"].get(figure), found["raddle"].get(figure)
    return f"{b / a:.2f}x" if a and b is not None else "-"


def show(name, found, seconds, quick):
    print(f"{found['verdict']:7} {name}  ({seconds:.0f} s)", flush=True)
    for kind in "problems", "natively":
        for problem in dict.fromkeys(found[kind]):
            print(f"        {'natively: ' if kind == 'natively' else ''}{problem}")
    for load, f in () if quick else found["loads"].items():
        if f["native"] and f["raddle"]:
            print(f"        {load:32} throughput {share(f, 'throughput'):>7}  p99 {share(f, 'p99'):>7}  memory "
                  f"{share(f, 'memory'):>7}  kernel threads {f['native'].get('threads', '-')} -> "
                  f"{f['raddle'].get('threads', '-')}")
    sys.stdout.flush()


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown")
    # How busy it was with other things: figures of a busy machine are not worth much.
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release().split("-")[0],
            "date": time.strftime("%Y-%m-%d"), "load_before": round(os.getloadavg()[0], 1)}


def record(found, args, where):
    try:
        with open(RESULTS) as f:
            kept = json.load(f)["rows"]
    except (OSError, ValueError, KeyError):
        kept = {}
    names = [r.name for r in common.rows]
    kept = {n: kept[n] for n in kept if n in names} | found
    ordered = {n: kept[n] for n in names if n in kept}
    for n in found:
        found[n]["machine"] = where
    with open(RESULTS, "w") as f:
        json.dump({"rows": ordered}, f, indent=1)
        f.write("\n")
    subprocess.run([sys.executable, os.path.join(common.ROOT, "scripts", "compatibility")], check=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=os.path.join(common.ROOT, "build"), help="build directory")
    p.add_argument("--quick", action="store_true", help="small loads, no figures; a part of the rows")
    p.add_argument("--all", action="store_true", help="with --quick: all rows")
    p.add_argument("--only", action="append", default=[], metavar="PATTERN", help="rows to run")
    p.add_argument("--skip", action="append", default=[], metavar="PATTERN", help="rows not to run")
    p.add_argument("--rounds", type=int, help="runs of each kind (quick 1, else 2)")
    p.add_argument("--record", action="store_true", help="write the results file and the table")
    p.add_argument("--native-only", action="store_true", help="try the rows themselves")
    p.add_argument("--keep", action="store_true", help="keep the directories of runs that failed")
    p.add_argument("--favoured", action="store_true",
                   help="programs and loads before everything else on a busy machine (root, autogroups): "
                        "figures nearly as on a quiet one")
    p.add_argument("--list", action="store_true", help="name the rows and end")
    p.add_argument("--verbose", action="store_true")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    common.FAVOURED = args.favoured
    args.rounds = args.rounds or (1 if args.quick else 2)
    if args.record and (args.quick or args.native_only):
        p.error("a quick run has no figures to record")

    for module in MODULES:
        importlib.import_module(module)
    chosen = [r for r in common.rows
              if (any(fnmatch.fnmatch(r.name, o) for o in args.only) if args.only
                  else r.quick or args.all or not args.quick)
              and not any(fnmatch.fnmatch(r.name, o) for o in args.skip)]
    if args.list:
        print("\n".join(r.name for r in chosen))
        return 0
    library = os.path.join(args.build, "libraddle.so")
    if not os.path.exists(library):
        sys.exit(f"{library} is missing: run make first")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))
    signal.signal(signal.SIGALRM, _too_long)
    os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    common.supervise.become_reaper()

    where, found, failed, left_out = machine(), {}, [], []
    args.top = tempfile.mkdtemp(prefix="raddle-apps-")
    os.chmod(args.top, 0o755)
    try:
        # A copy that servers can read after they have given up being root, wherever the build is.
        args.library = shutil.copy(library, os.path.join(args.top, "libraddle.so"))
        shutil.copy(os.path.join(args.build, "raddle"), args.top)
        os.chmod(args.library, 0o755)
        for row in chosen:
            missing = [n for n in row.needs if not common.find_program(n)]
            since = time.monotonic()
            try:
                if missing:
                    raise common.Skip(f"{', '.join(missing)}: not installed")
                found[row.name] = try_row(row, args)
            except common.Skip as why:
                left_out.append(row.name)
                print(f"skipped {row.name}: {why}", flush=True)
                continue
            if found[row.name]["verdict"] != "passes":
                failed.append(row.name)
            show(row.name, found[row.name], time.monotonic() - since, args.quick)
    finally:
        for pid, _ in common.supervise.children():
            common.supervise.kill_all(pid)
        if not (args.keep and failed):
            shutil.rmtree(args.top, ignore_errors=True)
    if args.record:
        record(found, args, where)
    for kind, names in ("failed", failed), ("left out", left_out):
        if names:
            print(f"{kind}: {', '.join(names)}")
    print(f"{len(found) - len(failed)} passed, {len(failed)} failed, {len(left_out)} skipped")
    return 1 if failed or not (found or args.quick) else 0


if __name__ == "__main__":
    sys.exit(main())
