#!/usr/bin/env python3
"""glibc's own thread tests, natively and under the library, and where the two differ.

    conformance.py [--library build/libraddle.so] [--only PATTERN] [--env K=V ...] [--jobs N]
                   [--quick] [--again] [--show] [--timeout S]

The tests come from Debian's package glibc-source (scripts/bootstrap conformance). Nothing of
them enters this repository: sources, programs and results lie in a cache outside of it,
$XDG_CACHE_HOME/raddle or ~/.cache/raddle. A program is compiled once for each version of the
package; a native result is kept with it. Results under the library are kept by the library's
contents and --env, so an interrupted run goes on where it stopped.

A test passes if it exits with 0 within its time. Those that do not
build outside of glibc's tree (internal symbols, static linking) or fail natively are left out of
the comparison. What fails under the library is run again, alone: what passes then is named as
unsteady, what does not is a difference. Differences have to be in conformance.expect, with the
reason; others, and expected ones that pass, make the exit status 1.

--quick is the part that runs in `make check`, each time anew: conformance.quick. It exits with 77
when there is no glibc-source.
"""

import argparse
import concurrent.futures
import contextlib
import fcntl
import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ARCHIVES = "/usr/src/glibc"
RECIPE = "1"  # part of the cache's name: raise it when what is compiled changes

# What is unpacked. sysdeps is needed for a few headers that tests share.
ROOMS = ["nptl", "sysdeps", "support", "include", "posix", "elf", "argp", "locale", "malloc",
         "resolv", "rt", "test-skeleton.c"]

# Headers that the tests include with <>, although they belong to glibc's tree: only these may be
# found that way, or glibc's internal headers would hide the installed ones.
SHARED = ["support", "posix", "elf", "malloc", "sysdeps", "test-skeleton.c",
          "include/array_length.h", "include/intprops.h", "include/libc-diag.h",
          "include/libc-pointer-arith.h", "include/scratch_buffer.h",
          "sysdeps/generic/tst-stack-align.h", "nptl/tst-tls5.h",
          "sysdeps/x86/nptl/pthreaddef.h", "include/allocate_once.h"]

# Headers of glibc's build of which the tests use no more than this.
STAND_INS = {
    "config.h": "",
    "dso_handle.h": "extern void *__dso_handle __attribute__((visibility(\"hidden\")));\n",
    "shlib-compat.h": "#define TEST_COMPAT(library, introduced, obsoleted) 0\n",
    "stackinfo.h": "#include <elf.h>\n#define _STACK_GROWS_DOWN 1\n#define _STACK_GROWS_UP 0\n"
                   "#define DEFAULT_STACK_PERMS (PF_R|PF_W|PF_X)\n",
    "atomic.h": "#define atomic_load_relaxed(p) __atomic_load_n(p, __ATOMIC_RELAXED)\n"
                "#define atomic_load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)\n"
                "#define atomic_store_relaxed(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)\n"
                "#define atomic_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)\n"
                "#define atomic_increment(p) ((void)__atomic_add_fetch(p, 1, __ATOMIC_ACQ_REL))\n",
}

FLAGS = ["-O2", "-w", "-include", "limits.h", "-DTIMEOUTFACTOR=1", "-D_GNU_SOURCE", "-D_ISOMAC", "-Dlibc_hidden_proto(x)=",
         '-Dattribute_hidden=__attribute__((visibility("hidden")))']
LIBRARIES = ["-lpthread", "-lrt", "-ldl", "-lm", "-lresolv"]

# What glibc's Makefiles say about single tests.
CFLAGS = {
    "tst-cleanup2": ["-fno-builtin"], "tst-cleanupx2": ["-fno-builtin"],
    "tst-oncey3": ["-fno-exceptions", "-fno-asynchronous-unwind-tables"],
    "tst-oncey4": ["-fno-exceptions", "-fno-asynchronous-unwind-tables"],
    "tst-unwind-thread": ["-funwind-tables"],
    "tst-execstack": ["-Wl,-z,noexecstack"], "tst-execstack-mod": ["-Wno-trampolines"],
    "tst-audit-threads": ["-Wl,-z,lazy"], "tst-audit-threads-mod1": ["-Wl,-z,lazy"],
    "tst-audit-threads-mod2": ["-Wl,-z,lazy"], "tst-cancel24": ["-Wl,--no-as-needed"],
    "tst-initializers1-c89": ["-std=c89"], "tst-initializers1-gnu89": ["-std=gnu89"],
    "tst-initializers1-c99": ["-std=c99"], "tst-initializers1-gnu99": ["-std=gnu99"],
    "tst-initializers1-c11": ["-std=c11"], "tst-initializers1-gnu11": ["-std=gnu11"],
}
# -D_GNU_SOURCE does not turn the language into gnu99, but these want exceptions through C.
WITH_EXCEPTIONS = re.compile(r"tst-(cancelx|cleanupx|oncex)\d+$")
EXPORTING = {"tst-tls3", "tst-tls3-malloc", "tst-atfork2", "tst-atfork3", "tst-atfork4", "tst-create1"}
LINKED = {  # modules that a program or module is linked with
    "tst-_res1mod2": ["tst-_res1mod1"], "tst-_res1": ["tst-_res1mod1", "tst-_res1mod2"],
    "tst-fini1": ["tst-fini1mod"], "tst-tls5": ["tst-tls5mod"],
    "tst-compat-forwarder": ["tst-compat-forwarder-mod"],
    "tst-audit-threads": ["tst-audit-threads-mod2"],
}
OBJECTS = {"tst-cleanup4": "tst-cleanup4aux", "tst-cleanupx4": "tst-cleanupx4aux"}
ARGUMENTS = {
    "tst-cancel7": ["--command", "exec {self}"], "tst-cancelx7": ["--command", "exec {self}"],
    "tst-exec4": ["{self}"], "tst-umask1": ["tst-umask1.temp"],
    "tst-oddstacklimit": ["--command", "{bin}/tst-basic1"],
}
ENVIRONMENT = {
    "tst-mutex10": {"GLIBC_TUNABLES": "glibc.elision.enable=1"},
    "tst-audit-threads": {"LD_AUDIT": "{bin}/tst-audit-threads-mod1.so"},
}
MODULE = re.compile(r"mod\w?$|-mod\d?$|mod\d$")
COPIES = {"tst-stack4": [f"tst-stack4mod-{i}-{j}" for i in range(20) for j in range(20)]}


SECOND = "\n(second run)"


class Unavailable(Exception):
    """The tests cannot be had here."""


class Cache:
    """The place outside of the tree, and what is in it."""

    def __init__(self):
        archive = sorted(Path(ARCHIVES).glob("glibc-*.tar.*"))
        if not archive:
            raise Unavailable("no glibc-source here; as root: scripts/bootstrap conformance")
        self.archive = archive[-1]
        stat = self.archive.stat()
        recipe = f"{RECIPE} {self.archive.name} {stat.st_size} {int(stat.st_mtime)} {FLAGS}"
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raddle"
        self.root = base / f"conformance-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
        self.source = self.root / "source"
        self.shared = self.root / "shared"
        self.bin = self.root / "bin"
        self.objects = self.root / "objects"
        for place in (self.root, self.bin, self.objects):
            place.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def locked(self):
        with open(self.root / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def unpack(self):
        if self.source.exists():
            return
        say(f"unpacking {self.archive}")
        fresh = Path(tempfile.mkdtemp(prefix="unpack-", dir=self.root))
        top = self.archive.name.split(".tar")[0]
        subprocess.run(["tar", "-xf", self.archive, "-C", fresh, "--strip-components=1",
                        *(f"{top}/{room}" for room in ROOMS)], check=True)
        shutil.rmtree(self.shared, ignore_errors=True)
        self.shared.mkdir()
        for name in SHARED:
            target = fresh / name
            if target.exists():
                (self.shared / Path(name).name).symlink_to(self.source / name)
        for name, text in STAND_INS.items():
            (self.shared / name).write_text(text)
        fresh.rename(self.source)

    def compiler(self, source):
        quoted = [self.source / room for room in ("nptl", "sysdeps/pthread", ".", "include", "support",
                                                  "sysdeps/unix/sysv/linux", "sysdeps/generic")]
        language = ["c++", "-std=gnu++17"] if source.suffix == ".cc" else ["cc", "-std=gnu11"]
        return [*language, *FLAGS, f"-I{self.shared}", f"-I{self.source}/support",
                *(f"-iquote{q}" for q in quoted)]

    def compile(self, target, command):
        """Runs the command with -o target, unless it has succeeded or failed before."""
        failed = target.with_name(target.name + ".failed")
        if target.exists() or failed.exists():
            return target.exists()
        fresh = target.with_name(target.name + ".fresh")
        made = subprocess.run([*command, "-o", fresh], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if made.returncode == 0:
            fresh.rename(target)
            return True
        failed.write_bytes(made.stdout)
        return False

    def support(self, pool):
        """glibc's support library, as an archive; what does not build here no test needs."""
        archive = self.root / "libsupport.a"
        if archive.exists():
            return archive
        say("compiling glibc's support library")
        listing = (self.source / "support/Makefile").read_text()
        names = re.search(r"libsupport-routines = \\\n(.*?)\n\n", listing, re.S)[1]
        macros = [f'-D{name}_PATH="/usr"' for name in
                  ("SRCDIR", "OBJDIR", "OBJDIR_ELF_LDSO", "INSTDIR", "LIBDIR", "BINDIR", "SBINDIR",
                   "SLIBDIR", "ROOTSBINDIR", "COMPLOCALEDIR")]

        def one(name):
            source = self.source / "support" / f"{name}.c"
            target = self.objects / f"{name}.o"
            made = self.compile(target, [*self.compiler(source), *macros, "-c", source])
            return target if made else None

        objects = [o for o in pool.map(one, names.replace("\\", "").split()) if o]
        fresh = archive.with_suffix(".fresh")
        fresh.unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", fresh, *objects], check=True)
        fresh.rename(archive)
        return archive

    def tests(self):
        """{name: source} of everything that is a test and not part of one."""
        found = {}
        for room in ("nptl", "sysdeps/pthread"):
            for source in (self.source / room).glob("tst-*.c*"):
                if source.suffix in (".c", ".cc") and not MODULE.search(source.stem) \
                   and not source.stem.endswith(("-static", "aux", "-common", "-self-cleanup")):
                    found[source.stem] = source
        return found

    def find(self, name):
        for room in ("nptl", "sysdeps/pthread"):
            for suffix in (".c", ".cc"):
                source = self.source / room / (name + suffix)
                if source.exists():
                    return source
        return None

    def module(self, name):
        source = self.find(name)
        if not source:
            return None
        linked = [str(m) for m in map(self.module, LINKED.get(name, [])) if m]
        target = self.bin / f"{name}.so"
        self.compile(target, [*self.compiler(source), *CFLAGS.get(name, []), "-shared", "-fPIC",
                              f"-Wl,-soname,{name}.so", "-Wl,-rpath,$ORIGIN", source, *linked])
        return target

    def modules_of(self, name, source):
        """Modules that a program opens: they are named in its text."""
        text = source.read_text(errors="replace")
        for extra in re.findall(r'#include "(tst-[\w-]+\.c)"', text):
            text += (source.parent / extra).read_text(errors="replace") \
                if (source.parent / extra).exists() else ""
        return {m for m in re.findall(r"(tst-[\w-]+)\.so", text) if self.find(m)} | \
               ({"tst-stack4mod"} if name == "tst-stack4" else set()) | \
               ({"tst-execstack-mod"} if name == "tst-execstack" else set()) | \
               ({"tst-audit-threads-mod1"} if name == "tst-audit-threads" else set())

    def program(self, name, source, support):
        """Compiles one test; False if it cannot be built here."""
        flags = CFLAGS.get(name, []) + (["-fexceptions"] if WITH_EXCEPTIONS.match(name) else [])
        flags += ["-rdynamic"] if name in EXPORTING else []
        if name in OBJECTS:
            flags.append(self.find(OBJECTS[name]))
        for module in self.modules_of(name, source):
            self.module(module)
        linked = [str(m) for m in map(self.module, LINKED.get(name, []))]
        if linked:
            flags.append("-Wl,--no-as-needed")
        made = self.compile(self.bin / name,
                            [*self.compiler(source), *flags, "-Wl,-rpath,$ORIGIN",
                             source, *linked, support, *LIBRARIES])
        for copy in COPIES.get(name, []):
            if made and not (self.bin / f"{copy}.so").exists():
                shutil.copy(self.bin / "tst-stack4mod.so", self.bin / f"{copy}.so")
        return made

    def build(self, wanted, pool):
        """The names among wanted(name) that could be built, and how many could not."""
        with self.locked():
            self.unpack()
            support = self.support(pool)
            tests = {n: s for n, s in self.tests().items() if wanted(n)}
            todo = sum(not (self.bin / n).exists() and not (self.bin / f"{n}.failed").exists()
                       for n in tests)
            if todo:
                say(f"compiling {todo} tests")
            # Two tests may share a module, so modules first and one after the other.
            for name, source in tests.items():
                for module in self.modules_of(name, source):
                    self.module(module)
                for module in LINKED.get(name, []):
                    self.module(module)
            built = dict(zip(tests, pool.map(lambda n: self.program(n, tests[n], support), tests)))
        return sorted(n for n in built if built[n]), sorted(n for n in built if not built[n])


class Results:
    """Exit codes by test, in a file that is written as they come."""

    def __init__(self, path, forget):
        self.path, self.lock, self.codes = path, threading.Lock(), {}
        path.parent.mkdir(exist_ok=True)
        if path.exists():
            for line in path.read_text().splitlines():
                with contextlib.suppress(ValueError):  # a line that was cut short
                    name, code, words, seconds = json.loads(line)
                    if name not in forget:
                        self.codes[name] = (code, words)

    def keep(self, name, code, words, seconds):
        with self.lock:
            self.codes[name] = (code, words)
            with open(self.path, "a") as file:
                file.write(json.dumps([name, code, words, round(seconds, 2)]) + "\n")


def say(words):
    print(f"conformance: {words}", file=sys.stderr, flush=True)


def run(cache, name, options, preload):
    """(exit code, last words, seconds) of one run, made and supervised by run.py."""
    began = time.monotonic()
    environment = dict(os.environ, TIMEOUTFACTOR=str(options.factor))
    for key, value in ENVIRONMENT.get(name, {}).items():
        environment[key] = value.format(bin=cache.bin)
    program = cache.bin / name
    command = [sys.executable, HERE / "run.py", "--orphans", "--timeout", str(options.timeout)]
    if preload:
        command += ["--preload", options.library]
        command += [word for pair in options.env for word in ("--env", pair)]
    command += [program, *(a.format(self=program, bin=cache.bin) for a in ARGUMENTS.get(name, []))]
    with tempfile.TemporaryDirectory(prefix="raddle-conformance-") as place:
        Path(place, "Makefile").write_text("# opened by some tests\n" * 4096)
        done = subprocess.run(command, env=environment, cwd=place, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode(errors="replace").strip()
    if options.show:
        print(f"--- {name} ({'preloaded' if preload else 'native'}): {done.returncode}\n{text}\n", flush=True)
    return done.returncode, text[-600:], time.monotonic() - began


def run_all(cache, names, options, results, preload, pool):
    todo = [n for n in names if n not in results.codes]
    if todo:
        say(f"running {len(todo)} tests {'under ' + str(options.library) if preload else 'natively'}")
    list(pool.map(lambda n: results.keep(n, *run(cache, n, options, preload)), todo))


def expectations(path):
    """{name: reason} of conformance.expect."""
    lines = [line.split(None, 1) for line in path.read_text(encoding="utf-8").splitlines()]
    return {words[0]: words[1] for words in lines if len(words) == 2 and not words[0].startswith("#")}


def compare(cache, options, wanted, place):
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        built, unbuilt = cache.build(wanted, pool)
        forget = built if options.again else []
        native = Results(cache.root / "results" / "native", forget)
        run_all(cache, built, options, native, False, pool)
        for name in [n for n in built if native.codes[n][0] not in (0, 77)]:
            if SECOND not in native.codes[name][1]:
                code, words, seconds = run(cache, name, options, False)
                native.keep(name, code, words + SECOND, seconds)
        usable = [n for n in built if native.codes[n][0] == 0]
        image = Path(options.library).read_bytes()
        digest = hashlib.sha256(image + repr(options.env).encode())
        results = Results(cache.root / "results" / digest.hexdigest()[:16],
                          built if options.again or options.quick else [])
        # A build in between must not change what is tested.
        options.library = place / "libraddle.so"
        options.library.write_bytes(image)
        run_all(cache, usable, options, results, True, pool)
    unsteady = []
    for name in [n for n in usable if results.codes[n][0] != 0]:
        if SECOND not in results.codes[name][1]:
            code, words, seconds = run(cache, name, options, True)
            if code == 0:
                unsteady.append((name, *results.codes[name]))
            results.keep(name, code, words + SECOND, seconds)
    return built, unbuilt, native, usable, results, unsteady


def line(code, words):
    words = [w for w in words.splitlines() if w.strip() and w != SECOND.strip()]
    return f"{code:>4}  {(words[-1] if words else '')[:110]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--library", default="build/libraddle.so")
    parser.add_argument("--only", metavar="PATTERN", action="append", help="names, with * and ?")
    parser.add_argument("--env", metavar="K=V", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true", help="the tests of conformance.quick")
    parser.add_argument("--again", action="store_true", help="forget earlier results")
    parser.add_argument("--show", action="store_true", help="print what the tests print")
    parser.add_argument("--timeout", type=float, default=150, help="seconds, for each run")
    parser.add_argument("--factor", type=int, default=2, help="of the tests' own time limits")
    options = parser.parse_args()
    options.library = Path(options.library).resolve()

    wanted = lambda name: not options.only or any(fnmatch.fnmatch(name, p) for p in options.only)
    if options.quick:
        quick = set((HERE / "conformance.quick").read_text().split())
        wanted = lambda name, also=wanted: name in quick and also(name)
    try:
        with tempfile.TemporaryDirectory(prefix="raddle-conformance-") as place:
            built, unbuilt, native, usable, results, unsteady = \
                compare(Cache(), options, wanted, Path(place))
    except Unavailable as reason:
        say(str(reason))
        return 77

    expected = expectations(HERE / "conformance.expect")
    differing = [n for n in usable if results.codes[n][0] != 0]
    surprises = [n for n in differing if n not in expected]
    gone = [n for n in usable if n in expected and n not in differing]
    for title, names in (("differences without a reason", surprises),
                         ("expected differences", [n for n in differing if n in expected])):
        if names:
            print(f"{title}:")
        for name in names:
            print(f"  {name:<36}{line(*results.codes[name])}")
            if name in expected:
                print(f"  {'':<36}      {expected[name]}")
    for name, *first in unsteady:
        print(f"unsteady: {name:<28}{line(*first)}")
    for name in gone:
        print(f"passes, though conformance.expect names it: {name}")
    left_out = [n for n in built if n not in usable]
    if left_out:
        print("left out, since they fail or cannot be tested natively: "
              + ", ".join(f"{n} ({native.codes[n][0]})" for n in left_out))
    print(f"{len(built)} built, {len(unbuilt)} cannot be built outside of glibc, {len(usable)} pass "
          f"natively, {len(usable) - len(differing)} pass under the library")
    print(f"{len(usable) - len(differing)} passed, {len(surprises)} failed, "
          f"{len(differing) - len(surprises)} skipped")
    return 1 if surprises or not usable else 0


if __name__ == "__main__":
    sys.exit(main())
