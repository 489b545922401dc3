#!/usr/bin/env python3
"""Rows of shim/calls.def, one by one: what shows under raddle only.

    rows.py build/libraddle.so build/rows [NAME...]     TAP; only these names
    rows.py --list build/rows                           which names there are

A function in which a thread blocks: many threads do, and take few kernel threads. A function that
is passed on to libc: the statistics count the call. Others: an effect that is missing when the call
goes to libc behind raddle's back. Programs of test/programs hardly see any of this, since they pass
natively, too.
"""
import os, re, subprocess, sys
from pathlib import Path



def run(library, program, *args, timeout=30, **env):
    return subprocess.run([program, *args], env={**os.environ, 'LD_PRELOAD': library, **env}, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout)


def names(program, what):
    return subprocess.run([program, 'list', what], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.split()


def passed_names():
    """As rows_passed.c writes them."""
    text = Path(__file__).with_name('rows_passed.c').read_text()
    arrays = ''.join(re.findall(r'_names\[\] = \{(.*?)\};', text, re.S))
    return re.findall(r'"(\w+)"', arrays) + re.findall(r'look_up\(\s*"(\w+)"\)', text)


def one(library, program, what, name):
    try:
        p = run(library, program, what, name, timeout=15,
                RADDLE_PROCS='1' if what == 'seen' else '2')
    except subprocess.TimeoutExpired:
        return 'timed out'
    if p.returncode == 77:
        return '# SKIP'
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
        calls[name] = calls.get(name, 0) + 1
    wrong = {}
    for name in wanted:
        if counted.get(name, 0) != calls[name]:
            wrong[name] = f'called {calls[name]} times, counted {counted.get(name, 0)} times'
    return wrong


def main(args):
    if args[0] == '--list':
        for what in 'blocked', 'seen':
            for name in names(args[1], what):
                print(name, name)
        print('passed', *passed_names())
        return 0
    library, program, *wanted = args
    library, program = os.path.abspath(library), os.path.abspath(program)
    blocking = [n for n in names(program, 'blocked') if not wanted or n in wanted]
    visible = [n for n in names(program, 'seen') if not wanted or n in wanted]
    passing = [n for n in passed_names() if not wanted or n in wanted or 'passed' in wanted]
    print(f'1..{len(blocking) + len(visible) + len(passing)}')
    results = [(f'{n} blocks no kernel thread', one(library, program, 'blocked', n)) for n in blocking]
    results += [(f'{n} has its effect', one(library, program, 'seen', n)) for n in visible]
    wrong = passed(library, program, passing) if passing else {}
    results += [(f'{n} is passed on', wrong.get(n)) for n in passing]
    for number, (what, why) in enumerate(results, 1):
        if why in (None, '# SKIP'):
            print(f'ok {number} - {what} {why or ""}')
        else:
            print(f'not ok {number} - {what}: {why}'.replace('\n', ' '))
    return 1 if any(why not in (None, '# SKIP') for _, why in results) else 0


sys.exit(main(sys.argv[1:]))
