# Pleura's tasks. `make demo` shows what it does, `make test` checks that it works.

SWIFT ?= swift
BUILD := $(SWIFT) build -c release --build-tests
SOURCES := Sources Tests Package.swift

.PHONY: help demo test soak sanitize docs build dependencies lint format clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo          train on phantom radiographs and leave a report in runs/demo (under 6 minutes)'
	@echo 'make test          build and run all tests and checks'
	@echo 'make soak          torture checkpoints: 1,000 killed writers and broken disks (a minute after the build)'
	@echo 'make sanitize      decode damaged images under AddressSanitizer and valgrind (a minute, without the build)'
	@echo 'make build         build the program, .build/release/pleura'
	@echo 'make dependencies  install the system packages that are missing'
	@echo 'make lint          check the format of the sources and the order of the modules; make format repairs the format'
	@echo 'make docs          write docs/configuration.md from the program'
	@echo 'make clean         remove what was built and the demo run'

demo: build
	@configs/demo.sh

# One release build serves the program and its tests; without --build-tests, `swift test` would build all a second time.
test: build
	$(SWIFT) test -c release --skip-build
	.ci/check-kernel-symbols
	.ci/haswell

# PLEURA_TORTURE_SEED=N takes other cases.
soak: build
	PLEURA_TORTURE_CASES=1000 $(SWIFT) test -c release --skip-build --filter 'CheckpointTortureTests'
	PLEURA_HOSTILE_EPOCHS=2000 $(SWIFT) test -c release --skip-build --filter 'HostilePeers'

# PLEURA_SANITIZE_ROUNDS=N takes more damaged variants of each image.
sanitize: dependencies
	@.ci/sanitize

build: dependencies
	$(BUILD)

dependencies:
	@.ci/dependencies

docs: build
	.build/release/pleura inspect --fields --markdown >docs/configuration.md

lint:
	$(SWIFT) format lint --strict -r $(SOURCES)
	@.ci/check-rooms

format:
	$(SWIFT) format -i -r $(SOURCES)

clean:
	rm -rf .build runs/demo
