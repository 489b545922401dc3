"""Compressors: results byte for byte, at several numbers of threads."""

import hashlib
import os
import time

from common import checksum, pattern, row


def _compress(run, name, options, back, kinds):
    size = (2 if run.quick else 48) << 20
    source = run.path("data")
    text = pattern(size)
    with open(source, "wb") as f:
        f.write(text)
    for threads in kinds:
        since = time.monotonic()
        packed, _ = run.output([name, *options(threads), "-c", source], timeout=150)
        seconds = time.monotonic() - since
        run.answer(f"{threads} threads", checksum(packed))
        if not run.quick:
            run.figures(f"{threads} threads", throughput=size / seconds / 1e6)
    with open(run.path("packed"), "wb") as f:
        f.write(packed)
    unpacked, _ = run.output([name, *back, "-dc", run.path("packed")], timeout=60)
    run.check(unpacked == text, "what comes back is not what went in")


@row("pigz", "pigz", "2, 8, 64", ["pigz"], limit=300, quick=True)
def pigz(run):
    _compress(run, "pigz", lambda n: ["-n", "-p", n], ["-p", "8"], (2, 8, 64))


@row("xz", "xz-utils", "2, 8, 64", ["xz"], limit=500, quick=True)
def xz(run):
    _compress(run, "xz", lambda n: ["-1", f"-T{n}", "--block-size=262144"], ["-T8"], (2, 8, 64))


@row("zstd", "zstd", "2, 8, 64", ["zstd"], limit=300)
def zstd(run):
    _compress(run, "zstd", lambda n: ["-q", "-5", f"-T{n}", "-B262144"], ["-q", "-T8"], (2, 8, 64))
