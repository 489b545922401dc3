#!/usr/bin/env python3
"""Threads that wait in calls of every kind take no kernel threads: no more than procs + 8.

    io_threads.py build/libraddle.so build/test/io_waiters build/perf/cold_files

Prints TAP.
"""
import os
import subprocess
import sys
import tempfile

LIBRARY, WAITERS, COLD = (os.path.abspath(p) for p in sys.argv[1:4])
PROCS, MORE = 2, 8
count = 0


def report(good, name):
    global count
    count += 1
    print('ok' if good else 'not ok', count, '-', name)


def run(poller, *command, cwd=None):
    env = {**os.environ, 'LD_PRELOAD': LIBRARY, 'RADDLE_PROCS': str(PROCS), 'RADDLE_POLLER': poller}
    p = subprocess.run(command, env=env, cwd=cwd, timeout=90, text=True, stdout=subprocess.PIPE)
    report(p.returncode == 0, f'{poller}: {os.path.basename(command[0])} ends with {p.returncode}')
    return p.stdout.split('\n')


for poller in 'uring', 'epoll':
    for line in run(poller, WAITERS):
        if line:
            kind, threads = line.split()
            report(int(threads) <= PROCS + MORE, f'{poller}: {kind}, {threads} kernel threads')
with tempfile.TemporaryDirectory(dir=os.getcwd()) as scratch:
    for line in run('uring', COLD, '2000', cwd=scratch):
        if line.startswith('cold_files_kernel_threads'):
            threads = int(float(line.split()[1]))
            report(threads <= PROCS + MORE, f'2000 cold files, {threads} kernel threads')
print(f'1..{count}')
