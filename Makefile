# Pleura's tasks. `make demo` shows what it does, `make install` installs it, `make test` checks that it works.

SWIFT ?= swift
SOURCES := Sources Tests Package.swift
PREFIX ?= /usr/local
DESTDIR ?=

# The program alone. The build of the tests takes over what this has built, and the other way round: both are release builds
# with the same options.
BUILD_PROGRAM := $(SWIFT) build -c release --product pleura
# `swift test` would build all of it once more, with other options: it runs with --skip-build only.
BUILD_TESTS := $(SWIFT) build -c release --build-tests
RUN_TESTS := $(SWIFT) test -c release --skip-build

.PHONY: help demo stage install uninstall test soak sanitize docs reference build build-tests dependencies lint format clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo          build the program, train on phantom radiographs, leave a report in runs/demo'
	@echo 'make build         build the program, .build/release/pleura'
	@echo 'make install       install it under PREFIX (/usr/local), with completion and a man page; make uninstall'
	@echo 'make test          build and run all tests and checks'
	@echo 'make soak          torture checkpoints: 1,000 killed writers and broken disks (a minute after the build)'
	@echo 'make sanitize      decode damaged images under AddressSanitizer and valgrind (a minute, without the build)'
	@echo 'make dependencies  install the system packages that are missing for all of this'
	@echo 'make lint          check the format of the sources and the order of the modules; make format repairs the format'
	@echo 'make docs          write docs/configuration.md from the program'
	@echo 'make reference     write pages of Coordination, Graph and Kernels from their comments, into .build/reference'
	@echo 'make clean         remove what was built and the demo run'

demo: build
	@configs/demo.sh

build:
	@.ci/dependencies program
	$(BUILD_PROGRAM)

# What is installed, laid out in .build/stage. `sudo make install` copies what `make stage` has made before it, so that root needs
# no toolchain and owns nothing in .build.
stage:
	@.ci/dependencies install
	$(BUILD_PROGRAM)
	@.ci/install stage

install:
	@[ -n "$$SUDO_USER" ] || $(MAKE) --no-print-directory stage
	@.ci/install install '$(DESTDIR)' '$(PREFIX)'

uninstall:
	@.ci/install uninstall '$(DESTDIR)' '$(PREFIX)'

build-tests: dependencies
	$(BUILD_TESTS)

test: build-tests
	$(RUN_TESTS)
	.ci/check-kernel-symbols
	.ci/haswell

# PLEURA_TORTURE_SEED=N takes other cases.
soak: build-tests
	PLEURA_TORTURE_CASES=1000 $(RUN_TESTS) --filter 'CheckpointTortureTests'
	PLEURA_HOSTILE_EPOCHS=2000 $(RUN_TESTS) --filter 'HostilePeers'

# PLEURA_SANITIZE_ROUNDS=N takes more damaged variants of each image.
sanitize:
	@.ci/sanitize

dependencies:
	@.ci/dependencies tests

docs: build
	.build/release/pleura inspect --fields --markdown >docs/configuration.md

reference: build
	@.ci/reference

lint:
	$(SWIFT) format lint --strict -r $(SOURCES)
	@.ci/check-rooms

format:
	$(SWIFT) format -i -r $(SOURCES)

clean:
	rm -rf .build runs/demo
