"""Tools that compute or talk with several threads: OpenMP, a linker in C++, a coder of video, sysbench."""

import hashlib
import re
import time

from common import checksum, row

OPENMP = r"""
#include <omp.h>
#include <stdio.h>
int main(void)
{
    long sum = 0, n = 0;
    for (int r = 0; r < ROUNDS; r++) {
#pragma omp parallel for reduction(+ : sum) schedule(dynamic, 1000)
        for (int i = 0; i < 100000; i++)
            sum += (long)i * i % 1000;
#pragma omp parallel num_threads(16)
        {
#pragma omp critical
            n++;
#pragma omp barrier
#pragma omp single
            n++;
        }
    }
#pragma omp parallel num_threads(8)
#pragma omp single
    for (int i = 0; i < 1000; i++) {
#pragma omp task
        {
#pragma omp atomic
            n++;
        }
    }
    printf("%ld %ld\n", sum, n);
    return 0;
}
"""


def timed(run, load, argv, **more):
    since = time.monotonic()
    out, _ = run.output(argv, **more)
    if not run.quick:
        run.figures(load, throughput=1 / (time.monotonic() - since))
    return out


@row("OpenMP, libgomp", "libgomp1", "16", ["gcc"], quick=True)
def openmp(run):
    source = run.write("omp.c", OPENMP.replace("ROUNDS", "50" if run.quick else "1000"))
    run.output(["gcc", "-O2", "-fopenmp", source, "-o", run.path("omp")], under=False)
    run.answer("result", timed(run, "loops, barriers, tasks", [run.path("omp")], timeout=60).decode())


@row("lld", "lld-14", "16", ["ld.lld-14", "gcc"])
def lld(run):
    """Links a few hundred functions in some files; the output is compared byte by byte."""
    objects = []
    for i in range(4 if run.quick else 24):
        lines = [f"int f{i}_{k}(int x) {{ static int t[{50 + k}]; return t[x] += x * {k}; }}" for k in range(200)]
        source = run.write(f"o{i}.c", "\n".join(lines) + (f"\nint main(void) {{ return f0_0(0); }}\n" if not i else "\n"))
        objects.append(run.path(f"o{i}.o"))
        run.output(["gcc", "-g", "-ffunction-sections", "-c", source, "-o", objects[-1]], under=False,
                   env={"SOURCE_DATE_EPOCH": "0"})
    run.output(["ld.lld-14", "-e", "main", "--threads=16", "--build-id=sha1", "--icf=all", "-o", run.path("out"), *objects])
    # Debugging information holds the directory's name; the rest must be equal.
    run.output(["strip", "-g", "-R", ".note.gnu.build-id", run.path("out")], under=False)
    with open(run.path("out"), "rb") as f:
        run.answer("linked program", checksum(f.read()))
    timed(run, "linking", ["ld.lld-14", "-e", "main", "--threads=16", "-o", run.path("out"), *objects])


@row("ffmpeg", "ffmpeg", "8", ["ffmpeg"])
def ffmpeg(run):
    seconds = 1 if run.quick else 8
    out = timed(run, "coding video", ["ffmpeg", "-v", "error", "-nostdin", "-threads", "8", "-filter_threads", "4", "-f", "lavfi",
                "-i", f"testsrc2=duration={seconds}:size=640x360:rate=25", "-vf", "scale=320:180,hue=s=0.5", "-c:v", "mpeg4",
                "-threads", "8", "-flags", "+bitexact", "-fflags", "+bitexact", "-f", "avi", "-"], timeout=100)
    run.answer("video", checksum(out))


@row("sysbench", "sysbench", "64", ["sysbench"])
def sysbench(run):
    count = 2000 if run.quick else 40000
    out, _ = run.output(["sysbench", "cpu", "--threads=64", f"--events={count}", "--time=0", "--cpu-max-prime=1000", "run"])
    run.answer("events", re.search(r"total number of events:\s+(\d+)", out.decode())[1])
    run.figures("cpu", throughput=float(re.search(r"events per second:\s+([\d.]+)", out.decode())[1]))
    for test in ["threads", "--thread-locks=4"], ["mutex", "--mutex-locks=2000"]:
        events = count // 10 if test[0] == "threads" else 64
        out, _ = run.output(["sysbench", *test, "--threads=64", f"--events={events}", "--time=0", "run"], timeout=100)
        text = out.decode()
        if test[0] == "threads":  # of mutex, sysbench counts how many had ended when it looked
            run.answer(test[0], re.search(r"total number of events:\s+(\d+)", text)[1])
        run.figures(test[0], throughput=1 / float(re.search(r"total time:\s+([\d.]+)s", text)[1]))
