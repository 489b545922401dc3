#!/usr/bin/env python3
"""Rows of shim/calls.def, one by one: what shows under raddle only.

    rows.py build/libraddle.so build/rows [NAME...]     TAP; only these names
    rows.py --list build/rows                           which names there are

A function in which a thread blocks: many threads do, and take few kernel threads. A function that
is passed on to libc: the statistics count the call. Programs of test/programs cannot see either,
since they pass natively, too.
"""
import os, re, subprocess, sys
from pathlib import Path

BLOCKED_ENV = {'RADDLE_PROCS': '2', 'RADDLE_STATS': '0'}
# Rows that are counted under another name.
ALIASES = {'lockf64': 'lockf', 'preadv64': 'preadv', 'preadv64v2': 'preadv2', 'pwritev64': 'pwritev',
           'pwritev64v2': 'pwritev2', 'sendfile64': 'sendfile', '__waitpid': 'waitpid', '__wait': 'wait'}


def run(library, program, *args, timeout=30, **env):
    return subprocess.run([program, *args], env={**os.environ, 'LD_PRELOAD': library, **env}, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout)


def blocked_names(program):
    return subprocess.run([program, 'list'], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.split()


def passed_names():
    """As rows_passed.c writes them."""
    text = Path(__file__).with_name('rows_passed.c').read_text()
    arrays = ''.join(re.findall(r'_names\[\] = \{(.*?)\};', text, re.S))
    return re.findall(r'"(\w+)"', arrays) + re.findall(r'look_up\(\s*"(\w+)"\)', text)


def blocked(library, program, name):
    try:
        p = run(library, program, 'blocked', name, **BLOCKED_ENV)
    except subprocess.TimeoutExpired:
        return 'timed out'
    return None if p.returncode == 0 else f'{p.stdout.strip()} {p.stderr.strip()}'


def passed(library, program, wanted):
    """{name: why not}"""
    p = run(library, program, 'passed', RADDLE_STATS='1', RADDLE_QUIET='0')
    called = p.stdout.split()
    if p.returncode or sorted(called) != sorted(passed_names()):
        return {n: f'{p.returncode} {p.stderr}' for n in wanted}
    counted = {n: int(k) for n, k in re.findall(r'passed through (\w+) (\d+)', p.stderr)}
    calls = {}
    for name in called:
        row = ALIASES.get(name, name)
        calls[row] = calls.get(row, 0) + 1
    wrong = {}
    for name in wanted:
        row = ALIASES.get(name, name)
        if counted.get(row, 0) != calls[row]:
            wrong[name] = f'{row} was called {calls[row]} times, counted {counted.get(row, 0)} times'
    return wrong


def main(args):
    if args[0] == '--list':
        for name in blocked_names(args[1]):
            print(name, name)
        print('passed', *passed_names())
        return 0
    library, program, *wanted = args
    library, program = os.path.abspath(library), os.path.abspath(program)
    blocking = [n for n in blocked_names(program) if not wanted or n in wanted]
    passing = [n for n in passed_names() if not wanted or n in wanted or 'passed' in wanted]
    print(f'1..{len(blocking) + len(passing)}')
    results = [(f'{n} blocks no kernel thread', blocked(library, program, n)) for n in blocking]
    wrong = passed(library, program, passing) if passing else {}
    results += [(f'{n} is passed on', wrong.get(n)) for n in passing]
    for number, (what, why) in enumerate(results, 1):
        print(f'not ok {number} - {what}: {why}'.replace('\n', ' ') if why else f'ok {number} - {what}')
    return 1 if any(why for _, why in results) else 0


sys.exit(main(sys.argv[1:]))
