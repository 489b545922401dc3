#!/usr/bin/env python3
"""Checks the models of the handshakes that everything rests on (*.pml, Promela) with spin.

    check.py [model[:MUTATION]...]

Every model is searched completely: no assertion may fail and every end must be a valid one. Then each
of its mutations, which take away one thing that the code does, must fail: a model that cannot fail
proves nothing. TAP on standard output; exit status 77 when spin is not installed.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TIMEOUT = 120
MEMORY_MB = 3000

# model: (variants that must hold, mutations that must fail). A variant is what to define.
MODELS = {
    "retake": ([""], ["NO_BARRIER", "NO_LOOK", "NO_WAIT"]),
    "interrupt": ([""], ["NO_BARRIER", "NO_LOOK", "NO_WAIT", "TWO_READY"]),
    "sleep": ([""], ["LATE_GIVE", "NO_SPARE_CHECK"]),
    "park": (["", "CONSUMERS=3"],
             ["EARLY_UNLOCK", "NO_FENCE", "NO_LOOK", "LATE_STOP", "CONSUMERS=3 NO_CHAIN"]),
}


def search(model, defines):
    """(errors found, what pan said) of one complete search."""
    flags = [f"-D{d}" for d in defines.split()]
    with tempfile.TemporaryDirectory() as room:
        def run(*command):
            return subprocess.run(command, cwd=room, timeout=TIMEOUT, text=True, check=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
        run("spin", *flags, "-a", str(HERE / f"{model}.pml"))
        run("cc", "-w", "-O2", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MB}", "-o", "pan", "pan.c")
        said = run("./pan", "-m1000000")
    found = re.search(r"errors: (\d+)", said)
    if not found or "max search depth too small" in said or "out of memory" in said:
        raise RuntimeError(f"the search was not complete:\n{said}")
    return int(found[1]), said


def main():
    if not shutil.which("spin"):
        print("1..0 # SKIP spin is not installed")
        return 77
    jobs = [(m, d, must_fail) for m, (good, bad) in MODELS.items()
            for must_fail, variants in ((False, good), (True, bad)) for d in variants]
    if sys.argv[1:]:
        asked = [a.partition(":")[::2] for a in sys.argv[1:]]
        jobs = [j for j in jobs if any(j[0] == m and (not d or d in j[1]) for m, d in asked)]
    print(f"1..{len(jobs)}", flush=True)
    failed = 0
    for number, (model, defines, must_fail) in enumerate(jobs, 1):
        what = model + (f" with {defines}" if defines else "")
        try:
            errors, said = search(model, defines)
            good = bool(errors) == must_fail
        except (subprocess.SubprocessError, RuntimeError) as e:
            good, said = False, f"{e}\n{getattr(e, 'output', '') or ''}"
        states = re.search(r"(\d+) states, stored", said)
        print(f"{'' if good else 'not '}ok {number} - {what}: "
              f"{'fails' if must_fail else 'holds'} ({states[1] if states else '?'} states)",
              flush=True)
        if not good:
            failed += 1
            print("".join(f"# {line}\n" for line in said.splitlines()), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
