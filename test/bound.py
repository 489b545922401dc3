#!/usr/bin/env python3
"""RADDLE_BOUND: which threads get a kernel thread of their own.

    bound.py build/libraddle.so bound_names

The program names its threads and prints the names that kernel threads have while all of them wait.
Prints TAP.
"""
import os, subprocess, sys

LIBRARY, PROGRAM = os.path.abspath(sys.argv[1]), sys.argv[2]
NAMES = ['io-0', 'io-1', 'calc-0', 'calc-1', 'x', 'io', 'first=io-late', 'io-was=calc-now', 'a*b']
EVERYBODY, NOBODY = NAMES, []
IO = ['io-0', 'io-1', 'first=io-late']

CASES = [  # value, who is to have one
    (None, NOBODY),
    ('none', NOBODY),
    ('', NOBODY),  # as if it were not set
    ('all', EVERYBODY),
    ('*', EVERYBODY),
    ('**', EVERYBODY),
    ('io-*', IO + ['io-was=calc-now']),  # once bound, for good
    ('io-?', ['io-0', 'io-1']),
    ('*-1', ['io-1', 'calc-1']),
    ('?', ['x']),
    ('??', ['io']),
    ('io', ['io']),
    ('*o-*', IO + ['io-was=calc-now']),
    ('*now', ['io-was=calc-now']),
    ('c*c*0', ['calc-0']),
    ('a*b', ['a*b']),
    ('IO-*', NOBODY),  # case counts
    ('io-', NOBODY),
    ('*z', NOBODY),
]


def main():
    print(f'1..{len(CASES) + 1}')
    env = {k: v for k, v in os.environ.items() if not k.startswith('RADDLE_') and k != 'LD_PRELOAD'}
    native = subprocess.run([PROGRAM, *NAMES], env=env, text=True, timeout=60,
                            stdout=subprocess.PIPE).stdout.split()
    print('ok' if native == EVERYBODY else 'not ok', 1, '- natively all have one')
    for number, (value, expected) in enumerate(CASES, 2):
        env.update(LD_PRELOAD=LIBRARY, RADDLE_PROCS='2')
        env.pop('RADDLE_BOUND', None)
        if value is not None:
            env['RADDLE_BOUND'] = value
        for _ in range(3):  # on a busy machine a worker may still have the name of whom it ran
            p = subprocess.run([PROGRAM, *NAMES], env=env, text=True, timeout=60,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
            good = p.returncode == 0 and sorted(p.stdout.split()) == sorted(expected) and not p.stderr
            if good:
                break
        print('ok' if good else 'not ok', number, f'- RADDLE_BOUND={value}')
        if not good:
            print(f'# {p.returncode} {p.stdout.split()} not {expected} {p.stderr!r}')


main()
