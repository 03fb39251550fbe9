# The commands of the house. `make` builds; everything else says so below.
#   make            build kilnd and kiln (and the links buildkitd, buildctl) into build/bin
#   make test       install what is missing, build, run every test
#   make demo       build examples/hello from nothing but Debian packages, push, pull, run
#   make frontend-image   the Dockerfile frontend as an image of its own (IMAGE=registry/name:tag pushes it)
#   make bench      measure; KILN_BENCH_PEER=<address> compares with another BuildKit
#   make lint       map of the rooms, format and spelling of everything, clang-tidy of what changed
#   make bench-growth   how cost grows at 4 and 16 times the size, as curves
#   make asan       every test under the address and undefined-behaviour sanitizers
#   make tsan       tests of the rooms with threads under the thread sanitizer
#   make fuzz       run every fuzz target for FUZZ_SECONDS under clang's sanitizers
#   make install    programs, man pages, completions, systemd unit, example configuration
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc)

FRONTEND_TAR ?= build/kiln-frontend.tar

.PHONY: all frontend-image build deps test unit integration demo bench bench-growth lint install asan tsan fuzz clean
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

comma := ,

# The integration tests run real registries, peers and networks on whatever machine there is; one that failed is run
# once more, and ctest says so. Unit tests get no second chance.
AGAIN = --repeat until-pass:2

test: build
	tools/install-deps test
	tools/rooms.py
	ctest --test-dir build/release --output-on-failure -j $(JOBS) -L unit
	ctest --test-dir build/release --output-on-failure -L integration $(AGAIN)

unit: build
	ctest --test-dir build/release --output-on-failure -j $(JOBS) -L unit

integration: build
	tools/install-deps test
	ctest --test-dir build/release --output-on-failure -L integration

demo: build
	tools/install-deps test
	examples/hello/demo

bench: build
	tools/install-deps bench
	bench/run

# How cost grows: with files, with builds at once, with records kept, and with the steps of one build.
bench-growth: build
	tools/install-deps bench
	bench/run --rows D2,J2,N,S2 --scale 1,4,16 --runs 3 --json build/growth.json --chart build/growth.svg
	bench/run --rows U --scale 1,10,100 --runs 3 --json build/growth-steps.json --chart build/growth-steps.svg

# The Dockerfile frontend as an image, for `# syntax=`: nothing in it but one static program. Written as an OCI
# archive, or pushed when IMAGE=registry/name:tag says where.
frontend-image: build
	@rm -rf build/frontend-image && mkdir -p build/frontend-image
	strip -o build/frontend-image/kiln-frontend build/release/bin/kiln-frontend
	SOURCE_DATE_EPOCH=0 build/bin/kiln build --provenance=false -f packaging/frontend/Dockerfile \
	  $(if $(IMAGE),-t $(IMAGE) --push,-o type=oci$(comma)dest=$(FRONTEND_TAR)) build/frontend-image
	@echo $(if $(IMAGE),pushed $(IMAGE),$(FRONTEND_TAR))

lint:
	tools/install-deps lint
	tools/lint

asan:
	tools/install-deps test
	cmake --preset asan >/dev/null
	cmake --build build/asan -j $(JOBS)
	ctest --test-dir build/asan --output-on-failure -L unit
	ctest --test-dir build/asan --output-on-failure -L integration $(AGAIN)

FUZZ_SECONDS ?= 60
FUZZ_TARGETS = definition dockerfile documents cache_config packet tar words http http2 gateway
fuzz:
	tools/install-deps lint
	cmake --preset fuzz >/dev/null
	cmake --build build/fuzz -j $(JOBS) --target $(FUZZ_TARGETS:%=kiln_fuzz_%)
	@for t in $(FUZZ_TARGETS); do \
	  mkdir -p build/fuzz/corpus/$$t && \
	  build/fuzz/bin/kiln_fuzz_$$t -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -timeout=20 \
	    -artifact_prefix=build/fuzz/$$t- build/fuzz/corpus/$$t tests/fuzz/corpus/$$t || exit 1; done

tsan:
	cmake --preset tsan >/dev/null
	cmake --build build/tsan -j $(JOBS) --target kiln_solve_test kiln_session_test kiln_http2_test kiln_store_test kiln_event_test
	ctest --test-dir build/tsan --output-on-failure -R 'unit.(solve|session|http2|store|event)'

install: build
	packaging/install "$(DESTDIR)" "$(PREFIX)"

clean:
	rm -rf build
