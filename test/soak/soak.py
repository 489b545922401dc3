#!/usr/bin/env python3
"""The soak: thousands of connections while threads are signalled and cancelled, natively and under raddle
with both pollers. See soak.c for what is checked.

    soak.py --library build/libraddle.so --program build/test/soak/soak [--seconds 60] [--seed N]
            [--ways native,uring,epoll,submit...]

Another way is a word of RADDLE_DEBUG_FAIL: the same with that fault.

The seconds are those of all ways together; native gets a sixth of them. Prints TAP, and as comments what
the program said: a failure names the seed and the connection. Which bytes are sent follows from the seed;
when threads run does not.
"""
import argparse
import os
import subprocess
import sys
import time

# Natively each thread costs the kernel one, and glibc before 2.41 loses what a cancelled call transferred.
CONNECTIONS = {'native': 150, 'uring': 1000, 'epoll': 1000}
FAULTY = 300
# Thousands of threads wait, so one that held its kernel thread would show. The procs + 8 hold on a
# quiet machine; on a busy one, workers that the kernel has put aside in a system call are replaced.
KERNEL_THREADS = 24


def environment(way, library):
    env = {k: v for k, v in os.environ.items() if not k.startswith(('RADDLE_', 'LD_PRELOAD'))}
    if way != 'native':
        env.update(LD_PRELOAD=library, RADDLE_STATS='1')
        env.update(RADDLE_POLLER=way) if way in CONNECTIONS else env.update(RADDLE_DEBUG_FAIL=way)
    return env


def run(way, seconds, args):
    command = [args.program, '-t', str(seconds), '-s', str(args.seed), '-c',
               str(CONNECTIONS.get(way, FAULTY)), '-p', str(args.patience)]
    if way != 'native':
        procs = len(os.sched_getaffinity(0))
        command += ['-x', '-k', str(procs + KERNEL_THREADS)]
    try:
        p = subprocess.run(command, env=environment(way, args.library), text=True,
                           timeout=seconds + 4 * args.patience, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        status, text = p.returncode, p.stdout
    except subprocess.TimeoutExpired as late:
        status, text = 'no end', (late.stdout or b'').decode(errors='replace')
    # A library that was not preloaded would pass.
    poller = {'native': '', 'epoll': 'poller epoll'}.get(way, 'poller io_uring')
    if way not in ('native', 'epoll') and 'poller epoll' in text:
        return None, text
    return status == 0 and poller in text, text


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--library', required=True, type=os.path.abspath)
    parser.add_argument('--program', required=True, type=os.path.abspath)
    parser.add_argument('--seconds', type=float, default=60)
    parser.add_argument('--seed', type=int, default=time.time_ns() % 1000000)
    parser.add_argument('--ways', default='native,uring,epoll')
    parser.add_argument('--patience', type=float, default=60,
                        help='seconds that one connection may take')
    args = parser.parse_args()

    ways = args.ways.split(',')
    parts = {way: 1 if way == 'native' and len(ways) > 1 else 2.5 for way in ways}
    print(f'1..{len(ways)}', flush=True)
    failed = 0
    for number, way in enumerate(ways, 1):
        seconds = args.seconds * parts[way] / sum(parts.values())
        good, text = run(way, seconds, args)
        for line in text.splitlines():
            print('#', line)
        skip = ' # SKIP io_uring cannot be had here' if good is None else ''
        print(f'{"not ok" if good is False else "ok"} {number} - {way}, {seconds:.0f} s, '
              f'seed {args.seed}{skip}', flush=True)
        failed += good is False
    return 1 if failed else 0


sys.exit(main())
