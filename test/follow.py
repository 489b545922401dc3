#!/usr/bin/env python3
"""The number of kernel threads that compute follows the CPUs that may be used while the program runs.

    follow.py LIBRARY BURN

Starts BURN (threads that compute) with LIBRARY preloaded, changes the affinity mask of all its kernel
threads, or the quota of its cgroup, and looks at which of them use CPU time. Nothing depends on how fast
that is. Exit status 77 without two CPUs; the cgroup's part is left out where none can be made.
"""
import os, subprocess, sys, time

PATIENCE = 25


def cpu_ticks(pid):
    """Clock ticks that each kernel thread has used."""
    ticks = {}
    for tid in os.listdir(f'/proc/{pid}/task'):
        try:
            with open(f'/proc/{pid}/task/{tid}/stat') as f:
                fields = f.read().rpartition(')')[2].split()
        except OSError:
            continue
        ticks[tid] = int(fields[11]) + int(fields[12])
    return ticks


def busy(pid):
    """How many kernel threads had a fair part of what all used while these used half a second."""
    before = cpu_ticks(pid)
    for _ in range(200):
        time.sleep(0.1)
        used = {t: n - before.get(t, 0) for t, n in cpu_ticks(pid).items()}
        if sum(used.values()) >= 50:
            break
    return sum(n * 10 > sum(used.values()) for n in used.values())


def wait_for(pid, n, what):
    end = time.monotonic() + PATIENCE
    while (found := busy(pid)) != n:
        if time.monotonic() > end:
            sys.exit(f'{what}: {found} kernel threads compute, not {n}')


def set_mask(pid, cpus):
    for tid in os.listdir(f'/proc/{pid}/task'):
        os.sched_setaffinity(int(tid), cpus)


def make_cgroup(pid):
    """A cgroup with pid in it, as (file, value for one CPU, value for no limit), or None."""
    for root, name, one, none in (('/sys/fs/cgroup/cpu', 'cpu.cfs_quota_us', '100000', '-1'),
                                  ('/sys/fs/cgroup', 'cpu.max', '100000 100000', 'max 100000')):
        group = f'{root}/raddle-follow-{pid}'
        try:
            os.mkdir(group)
        except OSError:
            continue
        try:
            with open(f'{group}/{name}', 'w') as f:
                f.write(none)
            with open(f'{group}/cgroup.procs', 'w') as f:
                f.write(str(pid))
            return group, f'{group}/{name}', one, none
        except OSError:
            os.rmdir(group)
    return None


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def main():
    library, burn = sys.argv[1:]
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        return 77
    os.sched_setaffinity(0, cpus)
    env = {k: v for k, v in os.environ.items() if not k.startswith('RADDLE_')}
    program = subprocess.Popen([burn], env=dict(env, LD_PRELOAD=library))
    group = None
    try:
        wait_for(program.pid, 2, 'two CPUs')
        set_mask(program.pid, cpus[:1])
        wait_for(program.pid, 1, 'one CPU in the mask')
        set_mask(program.pid, cpus)
        wait_for(program.pid, 2, 'two CPUs in the mask again')
        group = make_cgroup(program.pid)
        if group:
            write(group[1], group[2])
            wait_for(program.pid, 1, 'a quota of one CPU')
            write(group[1], group[3])
            wait_for(program.pid, 2, 'no quota again')
    finally:
        program.kill()
        program.wait()
        if group:
            os.rmdir(group[0])
    return 0


if __name__ == '__main__':
    sys.exit(main())
