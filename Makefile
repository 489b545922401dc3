# A thin front for meson: everything is in meson.build and scripts/.
#
#   make            build/libraddle.so and build/raddle
#   make check      install what is missing (as root), build, run every test
#   make demo       install what is missing (as root), build, run a real server both ways
#   make bench      the figures of perf/, beside NPTL (and Go, where it is installed)
#   make conformance  glibc's own thread tests, natively and under raddle; CONFORMANCE='--only X'
#   make check-table  which tests notice when a function is not ours? ROWS='pthread_*' for a part
#   make apps       servers, tools and runtimes from packages, natively and under raddle, with figures;
#                   apps-quick: the checks only, of some, as in CI. APPS='--only mariadb' for a part
#   make soak       30 minutes of connections that end in every way, signals and cancellations; SECONDS=600
#   make chaos      every test program under random schedules; SEEDS=1-30, prints what failed with which
#   make asan tsan  the unit tests under a sanitizer, in build-asan and build-tsan
#   make install    PREFIX=/usr/local, DESTDIR=

BUILD  ?= build
PREFIX ?= /usr/local
MESON  ?= meson
SETUP  := $(MESON) setup --prefix $(PREFIX)

.PHONY: all build check conformance demo bench apps apps-quick asan tsan format format-check tidy check-layers \
        check-table chaos soak install clean doctor-deps

all: build

# Meson regenerates itself when a meson.build changes; this rule is for the first time,
# and for a first time that was interrupted.
$(BUILD)/build.ninja:
	@scripts/bootstrap --check build
	@$(SETUP) $(BUILD) >$(BUILD).setup.log 2>&1 || { cat $(BUILD).setup.log; exit 1; }
	@mv $(BUILD).setup.log $(BUILD)/setup.log

build: $(BUILD)/build.ninja
	@ninja --quiet -C $(BUILD)

# Without glibc's sources its tests are skipped, and without a package its row of apps-quick, which is no
# reason to fail.
check:
	@scripts/bootstrap build test
	@scripts/bootstrap conformance || true
	@scripts/bootstrap apps-quick || true
	@$(MAKE) --no-print-directory build
	@scripts/run-tests $(BUILD)

conformance:
	@scripts/bootstrap build conformance
	@$(MAKE) --no-print-directory build
	@python3 test/conformance.py --library $(BUILD)/libraddle.so $(CONFORMANCE)

demo:
	@scripts/bootstrap build demo
	@$(MAKE) --no-print-directory build
	@python3 perf/demo/demo.py --build $(BUILD)

bench:
	@scripts/bootstrap build bench
	@$(MAKE) --no-print-directory build
	@python3 perf/run.py --build $(BUILD)

# Long, and writes the table of docs/compatibility.md; apps-quick takes about a minute and writes nothing
# (APPS=--all: the small loads of all rows, for which make apps or scripts/bootstrap apps has the packages).
apps:
	@scripts/bootstrap build apps
	@$(MAKE) --no-print-directory build
	@python3 test/apps/run.py --build $(BUILD) --record $(APPS)

apps-quick:
	@scripts/bootstrap build
	@scripts/bootstrap apps-quick || true
	@$(MAKE) --no-print-directory build
	@python3 test/apps/run.py --build $(BUILD) --quick $(APPS)

asan tsan:
	@scripts/bootstrap --check build
	@test -f build-$@/build.ninja || $(SETUP) build-$@ -Dunits_only=true -Db_lundef=false \
	    -Db_sanitize=$(if $(filter asan,$@),address$(comma)undefined,thread)
	@ninja --quiet -C build-$@
	@$(NO_ASLR) scripts/run-tests build-$@

# gcc 12's ThreadSanitizer refuses the address layouts that newer kernels draw. A container
# may forbid turning randomisation off; then try as it is.
NO_ASLR = $(shell setarch -R true 2>/dev/null && echo setarch -R)
comma := ,
SOURCES = $(shell find lib shim include test perf -name '*.[ch]' -not -path '*/.*')

format:
	@scripts/bootstrap --check tools
	@clang-format -i $(SOURCES)

format-check:
	@scripts/bootstrap --check tools
	@clang-format --dry-run -Werror $(SOURCES)

tidy: build
	@scripts/bootstrap --check tools
	@clang-tidy --quiet -p $(BUILD) $(shell find lib shim -name '*.c' -not -path '*/aarch64/*')

check-layers: build
	@scripts/check-layers $(BUILD)

# Long: some hundred copies of the library, each without one function. ROWS='pthread_* sem_*' for a part.
check-table: build
	@scripts/check-table --build $(BUILD) $(ROWS)

SEEDS ?= 1-30
chaos: build
	@python3 test/chaos.py --seeds $(SEEDS) --all $(BUILD)/test/programs $(BUILD)/libraddle.so

# The one of CI takes a minute. SOAK='--seed 7 --ways uring' and the like: see test/soak/soak.py
SECONDS ?= 1800
soak: build
	@python3 test/soak/soak.py --library $(BUILD)/libraddle.so --program $(BUILD)/test/soak/soak \
	    --seconds $(SECONDS) $(SOAK)

# Setting the prefix again is free when it has not changed, and rebuilds what knows it
# (the launcher) when it has.
install: build
	@$(MESON) configure $(BUILD) --prefix $(PREFIX)
	@ninja --quiet -C $(BUILD)
	@DESTDIR=$(DESTDIR) $(MESON) install -C $(BUILD) --no-rebuild

clean:
	@rm -rf build build-asan build-tsan

doctor-deps:
	@scripts/bootstrap --list
