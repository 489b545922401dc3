#!/usr/bin/env python3
"""Installs into a temporary directory, as a package is built, and uses what is there.

    install.py build-dir

Prints TAP. Programs are compiled by pkg-config with $CC and $CXX (cc, c++).
"""
import json, os, re, shutil, subprocess, sys, tempfile
from pathlib import Path
from cases import Skip, case, run_cases, same

BUILD = os.path.abspath(sys.argv[1])
SOURCE = Path(__file__).resolve().parent.parent
CC, CXX = os.environ.get('CC', 'cc'), os.environ.get('CXX', 'c++')
TMP = Path(tempfile.mkdtemp(prefix='raddle-install-'))
ENV = {'PATH': os.environ['PATH'], 'LANG': 'C.UTF-8'}
VERSION = re.search(r'RADDLE_VERSION +"(.*)"', (SOURCE / 'include/raddle.h').read_text())[1]

# Says the version it runs with, and what its threads are: fibers have tids above the kernel's.
PROGRAM = r'''
#include <pthread.h>
#include <raddle.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static void *body(void *x) { return gettid() > 4194304 ? x : 0; }
int main(void) {
    pthread_t t;
    void *result;
    pthread_create(&t, 0, body, &result);
    pthread_join(t, &result);
    if (strcmp(raddle_version(), RADDLE_VERSION)) return 1;
    printf("%s %s\n", raddle_version(), result ? "fibers" : "kernel threads");
    return 0;
}
'''
# The same without raddle.
UNAWARE = re.sub(r'#include <raddle.h>|.*strcmp.*\n', '', PROGRAM).replace('raddle_version()', '"-"')


def run(*command, text=None, **env):
    p = subprocess.run(command, env={**ENV, **env}, cwd=TMP, text=True, timeout=60, input=text or '',
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return p.returncode, p.stdout, p.stderr


def out(*command, **more):
    code, stdout, stderr = run(*command, **more)
    assert (code, stderr) == (0, ''), f'{command}: {code} {stdout} {stderr}'
    return stdout


def need(tool):
    if not shutil.which(tool):
        raise Skip(f'no {tool}')
    return tool


def option(name):
    for o in json.loads(out('meson', 'introspect', '--buildoptions', BUILD)):
        if o['name'] == name:
            return o['value']


PREFIX = option('prefix')
LIBDIR = os.path.join(PREFIX, option('libdir'))
AT = str(TMP / 'root') + PREFIX
LIB = str(TMP / 'root') + LIBDIR
PKG = {'PKG_CONFIG_LIBDIR': LIB + '/pkgconfig', 'PKG_CONFIG_SYSROOT_DIR': str(TMP / 'root')}


def flags(*wanted):
    """Without the directories of the system's: raddle needs nobody else's .pc file."""
    return out(need('pkg-config'), *wanted, 'raddle', **PKG).split()


def compiled(name, compiler, language, text, *flags):
    path = str(TMP / name)
    code, _, err = run(compiler, '-x', language, '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-',
                       '-x', 'none', '-o', path, *flags, text=text)
    assert code == 0, err
    return path


@case
def the_files_are_there_and_no_others():
    subprocess.run(['meson', 'install', '-C', BUILD, '--no-rebuild', '--quiet', '--destdir',
                    str(TMP / 'root')], check=True, stdout=subprocess.DEVNULL)
    found = sorted(str(p.relative_to(TMP / 'root')) for p in (TMP / 'root').rglob('*')
                   if not p.is_dir())
    man = option('mandir')
    want = [f'{PREFIX}/bin/raddle', f'{PREFIX}/include/raddle.h', f'{LIBDIR}/libraddle.so',
            f'{LIBDIR}/libraddle.so.0', f'{LIBDIR}/pkgconfig/raddle.pc',
            f'{PREFIX}/{man}/man1/raddle.1', f'{PREFIX}/{man}/man7/raddle.7']
    same(found, sorted(w.lstrip('/') for w in want))
    same(os.readlink(f'{LIB}/libraddle.so'), 'libraddle.so.0')


@case
def nothing_points_back_to_where_it_was_built():
    dynamic = out('readelf', '-dW', f'{LIB}/libraddle.so.0')
    assert '[libraddle.so.0]' in dynamic and 'RPATH' not in dynamic and 'RUNPATH' not in dynamic
    assert 'TEXTREL' not in dynamic
    stack = re.search(r'GNU_STACK.*', out('readelf', '-lW', f'{LIB}/libraddle.so.0'))[0]
    assert 'E' not in stack.split()[-2], stack
    pc = Path(LIB, 'pkgconfig/raddle.pc').read_text()
    assert BUILD not in pc and str(TMP) not in pc, pc


@case
def pkg_config_knows_it():
    same(out(need('pkg-config'), '--modversion', 'raddle', **PKG), VERSION + '\n')
    same(out('pkg-config', '--validate', 'raddle', **PKG), '')
    same(flags('--libs-only-l'), ['-lraddle'])
    # Linking statically, too, asks for nothing else: the library has what it uses inside.
    assert '-luring' not in flags('--static', '--libs')
    same(out('pkg-config', '--print-requires-private', 'raddle', **PKG), '')


@case
def a_c_program_links_with_it():
    program = compiled('c', CC, 'c', PROGRAM, *flags('--cflags', '--libs'))
    same(out(program, LD_LIBRARY_PATH=LIB), VERSION + ' fibers\n')
    code, _, err = run(program)
    assert code == 0 or 'libraddle.so.0' in err, err  # by its soname
    program = compiled('c', CC, 'c', PROGRAM, '-pthread', *flags('--cflags', '--libs'),
                       f'-Wl,-rpath,{LIB}')
    same(out(program), VERSION + ' fibers\n')


@case
def a_cplusplus_program_links_with_it():
    text = '#include <thread>\n#include <iostream>\n' + PROGRAM.replace(
        'pthread_t t;', 'pthread_t t; std::thread([] { std::cout << "C++ "; }).join(); std::cout.flush();')
    program = compiled('cxx', CXX, 'c++', text, *flags('--cflags', '--libs'), f'-Wl,-rpath,{LIB}')
    same(out(program), f'C++ {VERSION} fibers\n')


@case
def the_header_stands_alone():
    for compiler, language, standards in ((CC, 'c', ('c99', 'c11')), (CXX, 'c++', ('c++98', 'c++20'))):
        for standard in standards:
            code, _, err = run(compiler, '-x', language, f'-std={standard}', '-pedantic', '-Wall',
                               '-Wextra', '-Werror', '-fsyntax-only', f'{AT}/include/raddle.h')
            assert code == 0 or 'unrecognized' in err or 'pragma once' in err, err


@case
def the_launcher_finds_its_library():
    program = compiled('unaware', CC, 'c', UNAWARE)
    same(out(program), '- kernel threads\n')
    same(out(f'{AT}/bin/raddle', program), '- fibers\n')
    same(out(f'{AT}/bin/raddle', '--version'), f'raddle {VERSION}\n')
    # A runtime package has no libraddle.so, which belongs to the development package.
    os.rename(f'{LIB}/libraddle.so', f'{TMP}/aside')
    try:
        same(out(f'{AT}/bin/raddle', program), '- fibers\n')
        same(out(program, LD_PRELOAD='libraddle.so.0', LD_LIBRARY_PATH=LIB), '- fibers\n')
    finally:
        os.rename(f'{TMP}/aside', f'{LIB}/libraddle.so')


@case
def it_can_be_preloaded_by_name():
    program = compiled('unaware', CC, 'c', UNAWARE)
    for name in 'libraddle.so', 'libraddle.so.0', 'libraddle.so:libraddle.so.0':
        same(out(program, LD_PRELOAD=name, LD_LIBRARY_PATH=LIB), '- fibers\n')


def page(number):
    return f'{AT}/{option("mandir")}/man{number}/raddle.{number}'


@case
def the_manual_pages_parse():
    for number in 1, 7:
        assert f'"raddle {VERSION}"' in Path(page(number)).read_text().split('\n.SH')[0]
        if shutil.which('groff'):
            same(run('groff', '-z', '-t', '-ww', '-man', '-Tutf8', page(number)), (0, '', ''))
        if shutil.which('mandoc'):
            same(run('mandoc', '-T', 'lint', '-W', 'error', page(number)), (0, '', ''))
    if not shutil.which('groff') and not shutil.which('mandoc'):
        raise Skip('neither groff nor mandoc')


@case
def the_manual_pages_know_every_option():
    text = Path(page(7)).read_text()
    names = re.findall(r'"(RADDLE_\w+)"', (SOURCE / 'lib/base/option.def').read_text())
    assert len(names) > 5
    for name in names:
        assert name in text, f'{name} is not in raddle.7'


try:
    status = run_cases()
finally:
    shutil.rmtree(TMP, ignore_errors=True)
sys.exit(status)
