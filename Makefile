# The commands of the house. `make` builds; everything else says so below.
#   make            build kilnd and kiln (and the links buildkitd, buildctl) into build/bin
#   make test       install what is missing, build, run every test
#   make demo       build examples/hello from nothing but Debian packages, push, pull, run
#   make bench      measure; KILN_BENCH_PEER=<address> compares with another BuildKit
#   make lint       the map of the rooms
#   make install    programs, man pages, completions, systemd unit, example configuration
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc)

.PHONY: all build deps test unit integration demo bench lint install asan tsan clean
all: build

deps:
	tools/install-deps

build: deps
	cmake --preset release >/dev/null
	cmake --build build/release -j $(JOBS)
	@mkdir -p build/bin
	@ln -sfn ../release/bin/kilnd build/bin/kilnd
	@ln -sfn ../release/bin/kiln build/bin/kiln
	@ln -sfn kilnd build/bin/buildkitd
	@ln -sfn kiln build/bin/buildctl

test: build
	tools/install-deps test
	tools/rooms.py
	ctest --test-dir build/release --output-on-failure -j $(JOBS) -L unit
	ctest --test-dir build/release --output-on-failure -L integration

unit: build
	ctest --test-dir build/release --output-on-failure -j $(JOBS) -L unit

integration: build
	tools/install-deps test
	ctest --test-dir build/release --output-on-failure -L integration

demo: build
	tools/install-deps test
	examples/hello/demo

bench: build
	tools/install-deps test
	bench/run

lint:
	tools/rooms.py

asan:
	cmake --preset asan >/dev/null
	cmake --build build/asan -j $(JOBS)
	ctest --test-dir build/asan --output-on-failure -L unit

tsan:
	cmake --preset tsan >/dev/null
	cmake --build build/tsan -j $(JOBS) --target kiln_solve_test kiln_session_test kiln_store_test kiln_event_test
	ctest --test-dir build/tsan --output-on-failure -R 'unit.(solve|session|store|event)'

install: build
	packaging/install "$(DESTDIR)" "$(PREFIX)"

clean:
	rm -rf build
