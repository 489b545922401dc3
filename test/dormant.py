#!/usr/bin/env python3
"""What a program pays that makes no thread: a short-lived child under raddle costs some system calls that load
the library, and nothing else. Counted, not timed.

    dormant.py build/raddle build/libraddle.so build/.../count_calls

Prints TAP."""
import os, subprocess, sys
from cases import Skip, case, run_cases, same

RADDLE, LIBRARY, COUNT = (os.path.abspath(p) for p in sys.argv[1:4])
# To map a library and libgcc_s, which it needs: 9 calls each; and a few for what the constructor asks.
ROOM = 26


def count(argv, preload, **env):
    """{"calls", "made", "rings"} of a command."""
    inner = ['env', f'LD_PRELOAD={LIBRARY}', *(f'{k}={v}' for k, v in env.items())] if preload else ['env']
    r, w = os.pipe()
    # count_calls starts counting anew at each execve, so env's own calls are not counted.
    p = subprocess.Popen([COUNT, *inner, *argv], env={'PATH': '/usr/bin:/bin'}, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         preexec_fn=lambda: os.dup2(w, 3), pass_fds=(3, w))
    os.close(w)
    out, err = p.communicate(timeout=60)
    with os.fdopen(r) as f:
        text = f.read()
    if p.returncode == 77:
        raise Skip(err.strip() or 'no tracing here')
    assert p.returncode == 0 and not err, f'exit status {p.returncode}: {err}'
    return {k: int(v) for k, v in (line.split() for line in text.splitlines())}


@case
def a_child_without_threads_costs_some_system_calls():
    native, ours = count(['true'], False), count(['true'], True)
    assert ours['calls'] > native['calls'], 'the library was not loaded'
    assert ours['calls'] - native['calls'] <= ROOM, f"{ours['calls']} system calls, natively {native['calls']}"


@case
def and_no_kernel_thread_no_ring_no_epoll_descriptor():
    ours = count(['true'], True)
    same((ours['made'], ours['rings']), (0, 0))


@case
def calls_are_not_more_expensive_in_it():
    """Every read and write of a program without threads is one system call, as natively."""
    copy = ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=1', 'count=2000', 'status=none']
    native, ours = count(copy, False), count(copy, True)
    assert ours['calls'] - native['calls'] <= ROOM + 4, f"{ours['calls']} system calls, natively {native['calls']}"


@case
def options_do_not_change_that():
    ours, more = count(['true'], True), count(['true'], True, RADDLE_PROCS='4', RADDLE_SLICE_MS='5', RADDLE_INHERIT='0')
    assert more['calls'] <= ours['calls'] + 2, f"{more['calls']} against {ours['calls']}"


@case
def the_launcher_becomes_the_program():
    """One more execve, no more processes: nothing stays beside it."""
    direct = count(['true'], True)
    p = count([RADDLE, 'true'], False)  # counted from the last execve on
    assert abs(p['calls'] - direct['calls']) <= 2, f"{p['calls']} against {direct['calls']}"
    same(p['made'], 0)


sys.exit(run_cases())
