#!/usr/bin/env python3
"""The launcher: what it sets, what it refuses, and whose exit status comes out.

    launcher.py build/raddle build/libraddle.so

Prints TAP. The library's own behaviour is not the subject, except for what it refuses with
RADDLE_STRICT=1: other commands are /bin/sh and friends, which create no thread.
"""
import os, re, shutil, stat, subprocess, sys, tempfile
from pathlib import Path
from cases import Skip, case, run_cases, same

RADDLE, LIBRARY = (os.path.abspath(p) for p in sys.argv[1:3])
SONAME = os.path.join(os.path.dirname(LIBRARY), 'libraddle.so')
BASE = {'PATH': '/usr/local/bin:/usr/bin:/bin', 'LANG': 'C'}
TMP = Path(tempfile.mkdtemp(prefix='raddle-launcher-'))


def run(*args, env={}, exe=RADDLE, **more):
    return subprocess.run([exe, *args], env={**BASE, **env}, text=True, timeout=20,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **more)


def refused(p, status, line):
    """One line on stderr, this one; nothing on stdout."""
    same((p.returncode, p.stdout, p.stderr), (status, '', line + '\n'))


def answers(p, stdout, status=0):
    same((p.returncode, p.stdout, p.stderr), (status, stdout, ''))


def shell_prints(expression, *options, **more):
    return run(*options, 'sh', '-c', f'printf "%s\\n" "{expression}"', **more)


def program(name, text, mode=0o755):
    path = TMP / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


THREAD = """
#include <pthread.h>
static void *body(void *p) { return p; }
int main(void)
{
    pthread_t t;
    return pthread_create(&t, 0, body, 0) || pthread_join(t, 0) ? 1 : 5;
}
"""


def compiled(name, *flags, source='int main(void) { return 5; }'):
    """A C program, or None where that cannot be built."""
    path = TMP / name
    built = subprocess.run([os.environ.get('CC', 'cc'), '-x', 'c', '-', '-o', path, *flags],
                           input=source, text=True,
                           stderr=subprocess.DEVNULL).returncode == 0
    return str(path) if built else None


# --- what comes through

@case
def exit_status_passes_through():
    answers(run('true'), '')
    answers(run('false'), '', 1)
    answers(run('sh', '-c', 'exit 42'), '', 42)


@case
def death_by_signal_passes_through():
    same(run('sh', '-c', 'kill -KILL $$').returncode, -9)


@case
def arguments_pass_unchanged():
    answers(run('printf', '%s|', 'a b', '', '--procs', '*', '-x'), 'a b||--procs|*|-x|')


@case
def options_end_at_the_command():
    answers(run('echo', '--stats', '--help'), '--stats --help\n')
    answers(run('--', 'echo', '--stats'), '--stats\n')


@case
def path_is_searched_and_slashes_are_not():
    program('here', '#!/bin/sh\necho here "$0"\n')
    answers(run('here', env={'PATH': f'/nonexistent:{TMP}:/usr/bin'}), f'here {TMP}/here\n')
    answers(run('./here', cwd=TMP), 'here ./here\n')
    # An empty element is the current directory.
    same(run('here', env={'PATH': f'/nonexistent::'}, cwd=TMP).returncode, 0)


@case
def a_script_without_a_first_line_runs_in_the_shell():
    answers(run(program('bare', 'echo bare\n')), 'bare\n')


@case
def the_process_becomes_the_command():
    p = subprocess.Popen([RADDLE, 'sh', '-c', 'echo $$'], env=BASE, stdout=subprocess.PIPE,
                         text=True)
    same(p.communicate(timeout=20)[0], f'{p.pid}\n')


@case
def every_variable_is_documented():
    top = Path(__file__).resolve().parent.parent
    ours = set(re.findall(r'^OPTION\(.*"(RADDLE_\w+)"', (top / 'lib/base/option.def').read_text(), re.M))
    readme = set(re.findall(r'^\| `(RADDLE_\w+)`', (top / 'README.md').read_text(), re.M))
    page = set(re.findall(r'^\.BR (RADDLE_\w+) "', (top / 'docs/raddle.7').read_text(), re.M))
    assert len(ours) > 10, ours
    same(sorted(readme), sorted(ours))
    same(sorted(page), sorted(ours))


@case
def doctor_says_what_works():
    def line(name, **env):
        p = run('doctor', env=env)
        same((p.returncode, p.stderr), (0, ''))
        found = [l[13:] for l in p.stdout.splitlines() if l.startswith(name + ' ')]
        same(len(found), 1)
        return found[0]
    assert line('threads').startswith('fibers on '), line('threads')
    assert line('libc').endswith('; its thread layout was recognised'), line('libc')
    same(line('poller', RADDLE_POLLER='epoll'), 'epoll')
    same(line('poller', RADDLE_DEBUG_FAIL='uring'), 'epoll')
    same(line('io_uring', RADDLE_DEBUG_FAIL='uring'), 'denied for a test')
    assert line('guards', RADDLE_DEBUG_FAIL='guard').startswith('mprotect')
    assert line('switch', RADDLE_DEBUG_FAIL='fsgsbase').startswith('arch_prctl')
    assert line('threads', RADDLE_DEBUG_FAIL='layout').startswith('kernel threads (1:1): ')
    refused(run('doctor', 'x'), 125, 'raddle: doctor takes no argument; see raddle --help')


# --- what is set

@case
def preload_is_the_library_beside_us():
    answers(shell_prints('$LD_PRELOAD'), SONAME + '\n')


@case
def preload_comes_first_and_once():
    libc = 'libc.so.6'  # always loadable, and loaded anyway
    answers(shell_prints('$LD_PRELOAD', env={'LD_PRELOAD': libc}), f'{SONAME}:{libc}\n')
    answers(shell_prints('$LD_PRELOAD', env={'LD_PRELOAD': f'{libc} {SONAME}'}),
            f'{SONAME}:{libc}\n')
    answers(run(RADDLE, RADDLE, 'sh', '-c', 'echo $LD_PRELOAD'), SONAME + '\n')


@case
def another_copy_of_the_library_is_dropped():
    answers(run('sh', '-c', 'echo $LD_PRELOAD',
                env={'LD_PRELOAD': f'/nonexistent/libraddle.so.0:{SONAME}'}), SONAME + '\n')


@case
def options_become_variables():
    names = '$RADDLE_PROCS/$RADDLE_POLLER/$RADDLE_BOUND'
    answers(shell_prints(names), '//\n')
    answers(shell_prints(names, '--procs', '3', '--poller', 'epoll', '--bound'),
            '3/epoll/all\n')
    answers(shell_prints(names, '--procs=256', '--poller=auto'), '256/auto/\n')
    # The last of two, and options over the environment.
    answers(shell_prints(names, '--procs', '3', '--procs', '4', env={'RADDLE_PROCS': '9'}),
            '4//\n')
    same(shell_prints('$RADDLE_STATS', '--stats').stdout, '1\n')


@case
def the_rest_of_the_environment_stays():
    answers(shell_prints('$RADDLE_MAX_THREADS $X', env={'RADDLE_MAX_THREADS': '77', 'X': 'y'}),
            '77 y\n')


# --- help and version

@case
def help_and_version():
    p = run('--help')
    same((p.returncode, p.stderr), (0, ''))
    assert p.stdout.startswith('usage: raddle ')
    assert max(map(len, p.stdout.splitlines())) <= 90
    same(run('-h').stdout, p.stdout)
    header = (Path(__file__).parent.parent / 'include/raddle.h').read_text()
    version = header.split('RADDLE_VERSION ')[1].split('"')[1]
    answers(run('--version'), f'raddle {version}\n')


# --- what is refused

@case
def no_command():
    line = 'raddle: no command given; see raddle --help'
    for args in [], ['--stats'], ['--'], ['--procs', '2', '--']:
        refused(run(*args), 125, line)


@case
def unknown_options():
    for option in '--horses', '-p', '--procss', '--stats=1', '-':
        refused(run(option, 'true'), 125,
                f"raddle: unknown option '{option}'; see raddle --help")


@case
def bad_values():
    for bad in 'abc', '257', '-1', '4x', ' 4', '99999999999999999999':
        refused(run('--procs', bad, 'true'), 125,
                f'raddle: RADDLE_PROCS={bad} is not a number from 1 to 256')
    refused(run('--poller', 'kqueue', 'true'), 125,
            'raddle: RADDLE_POLLER=kqueue is not one of auto, uring, epoll')


@case
def missing_values():
    refused(run('--procs'), 125, 'raddle: --procs needs a value; see raddle --help')
    refused(run('--procs=', 'true'), 125, 'raddle: --procs needs a value; see raddle --help')
    refused(run('--poller', '', 'true'), 125, 'raddle: --poller needs a value; see raddle --help')


@case
def command_not_found():
    refused(run('no-such-command-here'), 127, 'raddle: no-such-command-here: command not found')
    refused(run('/no/such/file'), 127, 'raddle: /no/such/file: command not found')
    refused(run(''), 127, 'raddle: : command not found')


@case
def command_cannot_be_run():
    plain = program('plain', 'echo no\n', 0o644)
    refused(run(plain), 126, f'raddle: cannot run {plain}: Permission denied')
    refused(run(str(TMP)), 126, f'raddle: cannot run {TMP}: it is a directory')
    orphan = program('orphan', '#!/no/such/interpreter\n')
    refused(run(orphan), 126, f'raddle: cannot run {orphan}: its interpreter is missing')


# --- where the preload has no effect

@case
def a_static_program_runs_natively_and_says_so():
    path = compiled('static', '-static')
    if not path:
        raise Skip('no static libc')
    line = f'raddle: {path} is statically linked; raddle has no effect on it and it runs natively\n'
    p = run(path)
    same((p.returncode, p.stdout, p.stderr), (5, '', line))
    answers(run(path, env={'RADDLE_QUIET': '1'}), '', 5)
    path = compiled('static-pie', '-static-pie')
    if path:
        same(run(path).returncode, 5)
        assert 'is statically linked' in run(path).stderr


@case
def a_static_program_is_refused_if_that_is_asked_for():
    path = compiled('static', '-static')
    if not path:
        raise Skip('no static libc')
    line = (f'raddle: {path} is statically linked; raddle has no effect on it, and RADDLE_STRICT=1 '
            'forbids to run it')
    for more in {}, {'RADDLE_QUIET': '1'}:
        refused(run(path, env={'RADDLE_STRICT': '1', **more}), 125, line)
    same(run(path, env={'RADDLE_STRICT': '0'}).returncode, 5)


@case
def children_can_do_without():
    show = ('sh', '-c', 'echo "${LD_PRELOAD-none}"')
    answers(run(*show), SONAME + '\n')
    answers(run(*show, env={'RADDLE_INHERIT': '1'}), SONAME + '\n')
    answers(run(*show, env={'RADDLE_INHERIT': '0'}), 'none\n')
    # What else is preloaded is none of our business.
    for others in 'libm.so.6', 'libm.so.6:libdl.so.2':
        answers(run(*show, env={'RADDLE_INHERIT': '0', 'LD_PRELOAD': others}), others + '\n')
    p = subprocess.run(show, env={**BASE, 'RADDLE_INHERIT': '0',
                                  'LD_PRELOAD': f'libm.so.6 {SONAME}:libdl.so.2 {SONAME}.0'},
                       text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20)
    same(p.stdout, 'libm.so.6:libdl.so.2\n')


@case
def strict_turns_what_is_not_supported_into_an_error():
    path = compiled('thread', '-pthread', source=THREAD)
    one_to_one = 'raddle: threads stay kernel threads (1:1): '
    for failing, line in (('layout', one_to_one + "libc's thread layout was not recognised (simulated)"),
                          ('activate', one_to_one + 'not enough memory or threads to start the scheduler'),):
        env = {'RADDLE_DEBUG_FAIL': failing}
        p = run(path, env=env)
        same((p.returncode, p.stdout, p.stderr), (5, '', line + '\n'))
        answers(run(path, env={**env, 'RADDLE_QUIET': '1'}), '', 5)
        refused(run(path, env={**env, 'RADDLE_STRICT': '1'}), 125, line)
        refused(run(path, env={**env, 'RADDLE_STRICT': '1', 'RADDLE_QUIET': '1'}), 125, line)
    # What is asked for by name and cannot be had; without asking there is another way.
    for failing, name, value in ('uring', 'RADDLE_POLLER', 'uring'), ('deep', 'RADDLE_DEEP', 'on'):
        env = {'RADDLE_DEBUG_FAIL': failing, 'RADDLE_STRICT': '1'}
        answers(run(path, env=env), '', 5)
        p = run(path, env={**env, name: value})
        same((p.returncode, p.stdout), (125, ''))
        assert p.stderr.startswith(f'raddle: {name}={value} cannot be had: '), p.stderr
        same(p.stderr.count('\n'), 1)
    answers(run(path, env={'RADDLE_STRICT': '1'}), '', 5)


@case
def a_dynamic_program_says_nothing():
    for name, *flags in ('pie', '-pie'), ('exec', '-no-pie'):
        path = compiled(name, *flags)
        if not path:
            raise Skip('no compiler')
        answers(run(path), '', 5)


@case
def a_set_user_id_program_says_so():
    path = compiled('suid')
    if os.getuid() != 0 or not path:
        raise Skip('needs root to give a file away')
    os.chown(path, 65534, 65534)
    os.chmod(path, 0o4755)
    p = run(path)
    if os.statvfs(path).f_flag & os.ST_NOSUID:
        raise Skip('mounted nosuid')
    same((p.returncode, p.stderr),
         (5, f'raddle: {path} is set-user-ID; raddle has no effect on it and it runs natively\n'))
    os.chmod(path, stat.S_ISGID | 0o755)
    assert 'is set-group-ID' in run(path).stderr


# --- finding the library

def installed(name, launcher, *libraries):
    """A copy of the launcher elsewhere, with libraries at these places beside it."""
    root = TMP / name
    for source, place in (RADDLE, launcher), *((LIBRARY, l) for l in libraries):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / place)
    return str(root), str(root / launcher)


@case
def an_installed_library_is_found():
    for name, lib in ('prefix', 'lib/libraddle.so'), ('prefix0', 'lib/libraddle.so.0'), \
                     ('prefix64', 'lib64/libraddle.so.0'):
        root, exe = installed(name, 'bin/raddle', lib)
        p = run('sh', '-c', 'echo $LD_PRELOAD', exe=exe)
        same((p.stdout, p.stderr), (f'{root}/bin/../{lib}\n', ''))


@case
def a_link_to_the_launcher_finds_it_too():
    link = TMP / 'link'
    link.symlink_to(RADDLE)
    answers(run('sh', '-c', 'echo $LD_PRELOAD', exe=str(link)), SONAME + '\n')


@case
def no_library():
    root, exe = installed('alone', 'bin/raddle')
    p = run('true', exe=exe)
    if p.returncode == 0:
        raise Skip('raddle is installed on this machine')
    same(p.returncode, 125)
    assert p.stderr.startswith(f'raddle: libraddle.so is neither beside {root}/bin/raddle nor in /')
    same(p.stderr.count('\n'), 1)


@case
def a_path_that_cannot_be_preloaded():
    root, exe = installed('a b', 'raddle', 'libraddle.so')
    refused(run('true', exe=exe), 125,
            f'raddle: cannot preload {root}/libraddle.so: its path has a space or a colon')


try:
    sys.exit(run_cases())
finally:
    shutil.rmtree(TMP, ignore_errors=True)
