#!/usr/bin/env python3
"""Ways of linking with libraddle.so: where it must take effect, where it must say why it has none.

    linking.py build/raddle build/libraddle.so

Prints TAP. Compiles small programs with $CC and $CXX (cc, c++), in C and C++; skips what cannot be
built here. test/programs/linked runs whole programs that way; here the subject is the command
line of the linker, and what ld.so makes of it.
"""
import os, subprocess, sys, tempfile
from pathlib import Path
from cases import Skip, case, run_cases, same

RADDLE, LIBRARY = (os.path.abspath(p) for p in sys.argv[1:3])
BUILD = os.path.dirname(LIBRARY)
CC, CXX = os.environ.get('CC', 'cc'), os.environ.get('CXX', 'c++')
ENV = {'PATH': '/usr/local/bin:/usr/bin:/bin', 'LANG': 'C', 'RADDLE_PROCS': '2'}
L = [f'-L{BUILD}', f'-Wl,-rpath,{BUILD}']
BEHIND = 'raddle: loaded behind the C library, so it has no effect'
TMP = Path(tempfile.mkdtemp(prefix='raddle-linking-'))

# 40 threads wait; a program of kernel threads then has 41 of them.
MANY = r'''
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static pthread_barrier_t all;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int leave;
static void *body(void *x) {
    pthread_barrier_wait(&all);
    pthread_mutex_lock(&mutex);
    while (!leave) pthread_cond_wait(&cond, &mutex);
    pthread_mutex_unlock(&mutex);
    return x;
}
static void look(void) {
    pthread_t t[40];
    int n = 0;
    pthread_barrier_init(&all, 0, 41);
    for (int i = 0; i < 40; i++) pthread_create(&t[i], 0, body, 0);
    pthread_barrier_wait(&all);
    DIR *d = opendir("/proc/self/task");
    while (readdir(d)) n++;
    closedir(d);
    pthread_mutex_lock(&mutex);
    leave = 1;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < 40; i++) pthread_join(t[i], 0);
    puts(n < 25 ? "fibers" : "kernel threads");
}
'''
PLAIN = MANY + 'int main(void) { look(); return 0; }\n'
CPLUS = MANY + r'''
#include <thread>
#include <mutex>
#include <vector>
#include <stdexcept>
int main() {
    std::mutex m;
    std::vector<std::thread> threads;
    int sum = 0;
    for (int i = 0; i < 20; i++)
        threads.emplace_back([&, i] {
            try { if (i % 2) throw std::runtime_error("odd"); }
            catch (const std::exception &) { std::lock_guard<std::mutex> l(m); sum += i; }
        });
    for (auto &t : threads) t.join();
    if (sum != 100) return 1;
    look();
}
'''


def tool(*command, text=None):
    p = subprocess.run(command, cwd=TMP, input=text, text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    assert p.returncode == 0, f'{" ".join(command)}: {p.stdout}'
    return p.stdout


def object_of(name, text, language='c', *flags):
    out = str(TMP / f'{name}.o')
    if not os.path.exists(out):
        tool(CC if language == 'c' else CXX, '-x', language, '-fPIC', '-D_GNU_SOURCE', '-w',
             '-', '-c', '-o', out, *flags, text=text)
    return out


def plain():
    return object_of('plain', PLAIN)


def run(*command, **env):
    p = subprocess.run(command, env={**ENV, **env}, cwd=TMP, text=True, timeout=40,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return p.returncode, p.stdout, p.stderr


def fibers(program, **env):
    same(run(program, **env), (0, 'fibers\n', ''))


def no_effect(program, stdout='kernel threads\n'):
    """It runs natively, and one line says why; RADDLE_QUIET silences it."""
    code, out, err = run(program)
    same((code, out, err.count('\n')), (0, stdout, 1))
    assert err.startswith(BEHIND), err
    same(run(program, RADDLE_QUIET='1'), (0, stdout, ''))


def linked(*command):
    out = str(TMP / 'linked')
    tool(*command, '-o', out)
    return out


# --- it takes effect

@case
def last_on_the_line():
    fibers(linked(CC, plain(), *L, '-lraddle'))


@case
def with_pthread_before_and_after():
    fibers(linked(CC, '-pthread', plain(), *L, '-lpthread', '-lraddle'))
    fibers(linked(CC, plain(), *L, '-lraddle', '-pthread'))
    fibers(linked(CC, '-Wl,--no-as-needed', '-pthread', plain(), *L, '-lpthread', '-lraddle'))


@case
def before_the_objects_with_as_needed():
    fibers(linked(CC, '-Wl,--as-needed', *L, '-lraddle', plain()))


@case
def other_kinds_of_program():
    for flags in ['-no-pie'], ['-pie'], ['-Wl,-z,lazy'], ['-Wl,-z,now'], ['-rdynamic'], ['-s']:
        fibers(linked(CC, *flags, plain(), *L, '-lraddle'))


@case
def cplusplus():
    o = object_of('cplus', CPLUS, 'c++', '-std=gnu++17')
    fibers(linked(CXX, o, *L, '-lraddle'))
    fibers(linked(CXX, o, *L, '-Wl,--no-as-needed', '-lstdc++', '-lm', '-lraddle', '-pthread'))


@case
def lld():
    try:
        program = linked(CC, '-fuse-ld=lld', plain(), *L, '-lraddle')
    except AssertionError as e:
        raise Skip('no lld') from e
    fibers(program)


@case
def preloaded_as_well_there_is_one_copy():
    text = MANY + r'''int main(void) {
        char line[4096], last[4096] = "";
        int copies = 0;
        FILE *f = fopen("/proc/self/maps", "r");
        while (fgets(line, sizeof line, f))
            copies += strstr(line, "libraddle") && strstr(line, " r-xp ");
        printf("%d\n", copies);
        look();
    }'''
    program = linked(CC, object_of('copies', '#include <string.h>\n' + text), *L, '-lraddle')
    same(run(program), (0, '1\nfibers\n', ''))
    same(run(program, LD_PRELOAD=LIBRARY), (0, '1\nfibers\n', ''))
    same(run(RADDLE, program), (0, '1\nfibers\n', ''))


@case
def bound_by_the_environment():
    same(run(linked(CC, plain(), *L, '-lraddle'), RADDLE_BOUND='all'), (0, 'kernel threads\n', ''))


@case
def dlsym_finds_raddle():
    text = r'''
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
static const char *where(void *p) {
    Dl_info i;
    return p && dladdr(p, &i) && strstr(i.dli_fname, "libraddle") ? "raddle" : "other";
}
int main(void) {
    puts(where(dlsym(RTLD_DEFAULT, "pthread_create")));
    puts(where(dlsym(RTLD_NEXT, "pthread_create")));
    puts(where((void *)pthread_create));
    puts(where((void *)pthread_cond_wait));
}'''
    program = linked(CC, object_of('where', text), *L, '-lraddle')
    same(run(program), (0, 'raddle\n' * 4, ''))
    program = linked(CC, object_of('where', text))
    same(run(program, LD_PRELOAD=LIBRARY), (0, 'raddle\n' * 4, ''))


@case
def a_wrapper_of_the_program_s_own_goes_on_to_raddle():
    text = r'''#include <dlfcn.h>
#include <pthread.h>
int wrapped;
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x) {
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        dlsym(RTLD_NEXT, "pthread_create");
    wrapped++;
    return next(t, a, f, x);
}
''' + MANY + 'int main(void) { look(); return wrapped != 40; }'
    o = object_of('wrapper', text)
    fibers(linked(CC, '-rdynamic', o, *L, '-lraddle'))
    fibers(linked(CC, '-rdynamic', o), LD_PRELOAD=LIBRARY)


# --- programs that were linked against an older libc

OLD = {'GLIBC_2.2.5': 'pthread_create pthread_join pthread_mutex_lock pthread_mutex_unlock '
                      'pthread_barrier_init pthread_barrier_wait',
       'GLIBC_2.3.2': 'pthread_cond_wait pthread_cond_broadcast'}


def old_libpthread(conditions):
    """The libpthread.so.0 that the linker sees; ld.so takes the system's."""
    names = {**OLD}
    if conditions == 'GLIBC_2.2.5':
        names = {conditions: ' '.join(OLD.values())}
    where = TMP / conditions
    where.mkdir(exist_ok=True)
    script, source = '', ''
    for version, words in names.items():
        script += f'{version} {{ global: {"; ".join(words.split())}; }};\n'
        source += ''.join(f'void {n}(void) {{}}\n' for n in words.split())
    (where / 'map').write_text(script)
    tool(CC, '-x', 'c', '-', '-w', '-shared', '-fPIC', '-nostdlib', '-Wl,-soname,libpthread.so.0',
         f'-Wl,--version-script={where}/map', '-o', f'{where}/libpthread.so.0', text=source)
    return f'{where}/libpthread.so.0'


def versions(program, name):
    words = [w for w in tool('nm', '-D', '--undefined-only', program).split() if w.split('@')[0] == name]
    return words


@case
def old_versions_of_symbols_are_answered_preloaded():
    for conditions in OLD:
        program = linked(CC, plain(), old_libpthread(conditions))
        same(versions(program, 'pthread_create'), ['pthread_create@GLIBC_2.2.5'])
        same(versions(program, 'pthread_cond_wait'), [f'pthread_cond_wait@{conditions}'])
        code, out, err = run(program)
        if code == 127 or 'libpthread' in err:
            raise Skip('this libc has no libpthread.so.0')
        same((code, out, err), (0, 'kernel threads\n', ''))
        fibers(program, LD_PRELOAD=LIBRARY)


@case
def old_versions_of_symbols_are_answered_linked():
    """An object that asks for a version by name, one that is not libc's default. (Asked for the
    default version of a name that another library has as well, GNU ld 2.40 writes a broken file.)"""
    for version in OLD:
        symver = ''.join(f'__asm__(".symver {n},{n}@{v}");\n'
                         for n, v in (('pthread_create', 'GLIBC_2.2.5'), ('pthread_join', 'GLIBC_2.2.5'),
                                      ('pthread_barrier_wait', 'GLIBC_2.2.5'),
                                      ('pthread_cond_wait', version))
                         if v != 'GLIBC_2.3.2')
        program = linked(CC, object_of('symver' + version, symver + PLAIN), *L, '-lraddle')
        same(versions(program, 'pthread_create'), ['pthread_create@GLIBC_2.2.5'])
        fibers(program)


# --- it cannot take effect, and says so

@case
def behind_libc_there_is_a_line():
    no_effect(linked(CC, plain(), *L, '-Wl,--no-as-needed', '-lc', '-lraddle'))


@case
def linked_by_a_library_only_there_is_a_line():
    library = str(TMP / 'libinner.so')
    tool(CC, '-shared', object_of('inner', '#include <pthread.h>\n'
                                  'int inner(void) { return pthread_self() != 0; }'),
         *L, '-Wl,--no-as-needed', '-lraddle', '-o', library)
    text = MANY + 'int inner(void); int main(void) { look(); return !inner(); }'
    no_effect(linked(CC, object_of('outer', text), library, f'-Wl,-rpath,{TMP}'))


@case
def opened_at_run_time_there_is_a_line():
    """Even what the program then takes from the handle works."""
    text = r'''#include <dlfcn.h>
#include <stdlib.h>
''' + MANY + r'''
static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static int (*lock)(pthread_mutex_t *);
static void *locks(void *x) { return lock(&mutex) ? x : 0; }
int main(void) {
    for (int flags = 0; flags < 2; flags++) {
        void *h = dlopen(getenv("LIB"), RTLD_NOW | (flags ? RTLD_GLOBAL : 0)), *result = 0;
        if (!h) { puts(dlerror()); return 1; }
        pthread_t t;
        create = dlsym(h, "pthread_create");
        lock = dlsym(h, "pthread_mutex_lock");
        if (!create || !lock || create(&t, 0, locks, h) || pthread_join(t, &result) || result) return 2;
        pthread_mutex_unlock(&mutex);
        dlclose(h);
    }
    look();
}'''
    program = linked(CC, object_of('opener', text))
    ENV['LIB'] = LIBRARY
    no_effect(program)
    # Preloaded already: nothing new comes in, and nothing is said.
    fibers(program, LD_PRELOAD=LIBRARY)


@case
def the_linker_refuses_a_static_program():
    (TMP / 'empty.c').write_text('int main(void) { return 0; }\n')
    if subprocess.run([CC, '-static', 'empty.c', '-o', 'empty'], cwd=TMP, capture_output=True).returncode:
        raise Skip('no static libc')
    p = subprocess.run([CC, '-static', plain(), *L, '-lraddle', '-o', 'static'], cwd=TMP, text=True,
                       stderr=subprocess.PIPE)
    assert p.returncode and 'raddle' in p.stderr, p.stderr


try:
    status = run_cases()
finally:
    os.environ.get('KEEP') or subprocess.run(['rm', '-rf', str(TMP)])
sys.exit(status)
