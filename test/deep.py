#!/usr/bin/env python3
"""Deep interception: threads that wait inside libc hold no kernel thread.

    deep.py build/libraddle.so stdio-waiters resolver-late ...

Each program is told "count" and a number; it prints how many kernel threads it has while so many of its
threads wait in libc. With RADDLE_DEEP=off that is one each, which shows that the programs count. Prints TAP.
"""
import os, subprocess, sys

LIBRARY, PROGRAMS = os.path.abspath(sys.argv[1]), sys.argv[2:]
MANY, FEW = 40, 2 + 8  # RADDLE_PROCS and what is allowed on top
SIZES = {'stdio-waiters': 2000, 'resolver-late': 500}


def counts(program, deep, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith('RADDLE_')}
    env.update(LD_PRELOAD=LIBRARY, RADDLE_PROCS='2', RADDLE_DEEP=deep, RADDLE_STATS='1', **more)
    parks = deep == 'on' and 'RADDLE_DEBUG_FAIL' not in more
    size = SIZES.get(os.path.basename(program), MANY) if parks else MANY
    p = subprocess.run([program, 'count', str(size)], env=env, text=True, timeout=60, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert p.returncode == 0, f'exit status {p.returncode}: {p.stderr}'
    return [int(line) for line in p.stdout.split()], p.stderr


def main():
    print(f'1..{4 * len(PROGRAMS)}')
    number = 0
    for program in PROGRAMS:
        name = os.path.basename(program)

        def report(what, good, detail):
            nonlocal number
            number += 1
            print('ok' if good else 'not ok', number, f'- {name}: {what}')
            if not good:
                print('#', detail)

        said, text = counts(program, 'off')
        report('off, they block kernel threads', said and min(said) >= MANY, said)
        for poller in 'auto', 'epoll':
            said, text = counts(program, 'on', RADDLE_POLLER=poller)
            if 'deep interception of' not in text:
                number += 1
                print('ok', number, f'- {name} # SKIP cannot be had here: {text!r}')
                continue
            report(f'on, they do not ({poller})', said and max(said) <= FEW, said)
        said, text = counts(program, 'on', RADDLE_DEBUG_FAIL='deep', RADDLE_QUIET='1')
        report('text cannot be changed: off', said and min(said) >= MANY, said)


main()
