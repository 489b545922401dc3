#!/usr/bin/env python3
"""Test programs under RADDLE_CHAOS, one run for each seed.

    chaos.py [--seeds 1-3] [--jobs N] [--timeout S] LIBRARY PROG [args...]
    chaos.py [--seeds 1-20] ... --all DIRECTORY LIBRARY

Prints seed and program of every run that fails, with the command that repeats it. With --all it runs all
programs of a directory that the build made, except those that need arguments or an environment of their
own. --check runs nothing but itself: that the switch does what it says, and nothing when it is off.
"""

import argparse
import concurrent.futures
import os
import re
import shlex
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
RUNNER = os.path.join(HERE, "run.py")

# They count what random delays change: how many ran, how far, who was first; or need minutes.
NOT = {
    "thread-limit",  # needs an environment
    "preempt-loops", "preempt-spin",  # compare the progress of threads
    "sleep-order", "tls-dlopen-dynamic", "tls-dlopen-initial", "tls-dlopen-live",
    "tls-dlopen-destructor", "atfork-dlclose", "dlopen-thread", "ordinary_user",  # need an argument
}


def seeds_of(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def run(library, program, arguments, seed, timeout):
    command = [sys.executable, RUNNER, "--preload", library, "--env", f"RADDLE_CHAOS={seed}",
               "--timeout", str(timeout), program, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode(errors="replace")


def counters(library, program, environment):
    env = dict(os.environ, LD_PRELOAD=os.path.abspath(library), RADDLE_STATS="1", **environment)
    done = subprocess.run([program], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          timeout=120)
    line = re.search(r"chaos: (.*)", done.stderr.decode(errors="replace"))
    return dict((name, int(n)) for name, n in re.findall(r"([a-z -]+?) (\d+)", line[1])) if line else None


def check(library, program):
    off = counters(library, program, {"RADDLE_CHAOS": "0"})
    if off is not None:
        print(f"off, and yet: {off}")
        return 1
    seen = {}
    for seed in range(1, 6):
        for name, n in counters(library, program, {"RADDLE_CHAOS": str(seed)}).items():
            seen[name] = seen.get(name, 0) + n
    # Not each in every run: taking a proc needs the monitor to meet a fiber outside of the runtime.
    idle = [name for name, n in seen.items() if not n]
    if len(seen) < 8 or idle:
        print(f"never done: {idle} of {seen}")
        return 1
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=seeds_of, default=range(1, 4))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--timeout", type=int, default=60)
    parser.add_argument("--all")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("library")
    parser.add_argument("program", nargs="?")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.check:
        return check(options.library, options.program)
    programs = [options.program]
    if options.all:
        programs = [os.path.join(options.all, name) for name in sorted(os.listdir(options.all))
                    if name not in NOT and os.path.isfile(os.path.join(options.all, name))
                    and os.access(os.path.join(options.all, name), os.X_OK)
                    and not name.endswith(".so") and name not in ("deny_uring", "decode_tool", "burn")]
    skipped = failed = ran = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = {pool.submit(run, options.library, program, options.arguments, seed, options.timeout):
                (program, seed) for seed in options.seeds for program in programs}
        for future in concurrent.futures.as_completed(runs):
            program, seed = runs[future]
            status, output = future.result()
            ran += 1
            if status == 77:
                skipped += 1
            elif status:
                failed += 1
                again = ["env", f"RADDLE_CHAOS={seed}", f"LD_PRELOAD={os.path.abspath(options.library)}",
                         program, *options.arguments]
                print(f"FAILED with status {status}: seed {seed}, {os.path.basename(program)}")
                print(f"    {shlex.join(again)}")
                print("".join(f"    {line}\n" for line in output.splitlines()[-12:]), end="", flush=True)
    if options.all or failed:
        print(f"{ran} runs, {failed} failed, {skipped} skipped")
    return 1 if failed else 77 if skipped == ran else 0


if __name__ == "__main__":
    sys.exit(main())
