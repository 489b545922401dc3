#!/usr/bin/env python3
"""interface.list against the library and libc: is every function whose it should be?

    interface.py build/libraddle.so build/test/resolve

Prints TAP. A function that is ours and missed is a failure. So is one of libc's threads that nobody
has looked at, with the libc that raddle is developed on; with another one it is a note. Functions
that raddle exports and the list does not know as ours are a TODO: add them.
"""
import os, re, subprocess, sys
from pathlib import Path

KNOWN_LIBC = '2.36'
THREADS = re.compile(r'_*pthread_\w+|sem_\w+|(thrd|mtx|cnd|tss)_\w+|call_once')


def read_list():
    """{name: 'ours', 'ours, unseen', or 'libc'}"""
    whose, current = {}, None
    for line in Path(__file__).with_name('interface.list').read_text().splitlines():
        if line.startswith('#') or not line:
            continue
        if not line.startswith(' '):
            current = line.split(': ', 1)[0]
            assert current in ('ours', 'ours, unseen', 'libc'), line
            continue
        for name in line.split():
            assert name not in whose, f'interface.list has {name} twice'
            whose[name] = current
    return whose


def exported(file):
    """Names of functions; data and private symbols are not the interface."""
    out = subprocess.run(['nm', '-D', '--defined-only', file], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    rows = (line.split()[-2:] for line in out.splitlines())
    return {name.split('@')[0] for kind, name in rows
            if kind in 'TWi' and not name.endswith('GLIBC_PRIVATE')}


def main():
    library, resolve = map(os.path.abspath, sys.argv[1:3])
    whose = read_list()
    ours = sorted(n for n, w in whose.items() if w != 'libc')
    found = subprocess.run([resolve, 'dlsym', *ours], check=True, text=True, stdout=subprocess.PIPE,
                           env={**os.environ, 'LD_PRELOAD': library}).stdout
    place = dict(line.split(' ', 1) for line in found.splitlines())
    libc, here = place.pop('dlsym'), os.path.realpath(library)
    version = re.search(r'stable release version (\d+\.\d+)|$',
                        subprocess.run([libc], text=True, stdout=subprocess.PIPE).stdout)[1]

    results = []
    for name in ours:
        where = os.path.realpath(place[name])
        results.append((where == here, f'{name} is ours', '' if where == here else f'found in {where}'))
    threads = {n for n in exported(libc) if THREADS.fullmatch(n)}
    for name in sorted(threads - set(whose)):
        results.append((False, f'{name} of libc {version} is in interface.list',
                        '' if version == KNOWN_LIBC else f'# SKIP not looked at: libc {version} has it'))
    mine = {n for n in exported(library) if not n.startswith('raddle_')}
    for name in sorted(mine - set(ours)):
        results.append((False, f'{name} is ours in interface.list', '# TODO raddle exports it'))
    for name in sorted(set(whose) - set(ours) - threads):
        results.append((version != KNOWN_LIBC, f'{name} is in libc {version}', ''))
    results.append((True, f'{len(threads)} functions of threads in libc {version}', ''))

    print(f'1..{len(results)}')
    failed = 0
    for n, (ok, what, note) in enumerate(results, 1):
        skip = note.startswith('# SKIP') and version != KNOWN_LIBC
        failed += not ok and not skip and not note.startswith('# TODO')
        print(f'{"ok" if ok or skip else "not ok"} {n} - {what}{(" " if note[:1] == "#" else ": ") if note else ""}{note}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
