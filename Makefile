# The commands of the project. `make help` lists them. Everything works on a fresh Debian machine that has Rust.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO_DENY_VERSION := 0.20.2
ONCE ?=
SEED ?=
MINUTES ?=
SECONDS ?=
STEPS ?=

# The examples bring in what only tests need, so that demo, bench and tests share one build of every crate.
BUILD := cargo build --workspace --bins --examples
PROGRAMS := $(or $(CARGO_TARGET_DIR),target)/debug

.PHONY: help setup build agent interop fmt lint deny doc test demo bench bench-line bench-flash bench-agents bench-intake bench-money soak clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install the Debian packages that building and testing need
	@.ci/packages

build: setup ## Build every program
	@$(BUILD)

demo: setup ## Run a whole ISP on this machine; SEED=7 lives another life; ONCE=1 plays the fixed story and prints JSON
	@$(BUILD)
	@$(PROGRAMS)/demo $(if $(ONCE),--once --json,$(if $(SEED),--seed $(SEED),))

interop: setup ## Install the Python clients that ours is compared with, into the target directory
	@tests/interop/install $(or $(CARGO_TARGET_DIR),target)/interop

fmt: ## Check the format
	@cargo fmt --all --check

lint: deny ## Lint with denied warnings; check licences, sources and duplicate versions
	@cargo clippy --workspace --all-targets -- --deny warnings

deny:
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny --version $(CARGO_DENY_VERSION)
	@cargo deny --log-level error check bans licenses sources
	@if cargo deny --log-level error fetch db 2>/dev/null; \
	then cargo deny --log-level error check --disable-fetch advisories; \
	else echo "advisories: their database cannot be reached from here, so they were NOT checked"; fi

doc: ## Build the documentation with denied warnings
	@RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --quiet

test: setup fmt lint doc build interop ## Format, lint, documentation, and every test
	@.ci/test

agent: ## Build the agent that ships and is measured: the plain release build, with code that occurs twice put into one place
	@cargo rustc --release --package tawi-agent --bin tawi-agent -- -C llvm-args=-enable-machine-outliner=always

bench: setup interop agent ## Print the figures that the README quotes, and our client's pace beside librouteros'; MINUTES=2 shortens a ten-minute look
	@cargo build --release --package tawi-controller
	@cargo build --release --package routeros-sim --package routeros-api --bins --examples
	@$(BUILD)
	@$(PROGRAMS)/figures $(if $(MINUTES),--minutes $(MINUTES))
	@$(PROGRAMS)/pace

bench-line: setup ## Print what a month of one site takes on a metered line
	@$(BUILD)
	@$(PROGRAMS)/figures --only-line
	@TAWI_WHOLE_MONTH=1 cargo test --workspace --test dark -- month:: --nocapture

bench-flash: setup ## Print what the agent of a site with 200 subscribers writes to its disk in a day; MINUTES=5 shortens a ten-minute look
	@$(BUILD)
	@$(PROGRAMS)/figures --only-flash $(if $(MINUTES),--minutes $(MINUTES))

bench-agents: setup ## Print how a thousand sites come back after a restart of the controller; SITES=100 is a shorter look
	@$(BUILD)
	@cargo build --release --package tawi-controller
	@$(PROGRAMS)/agents $(if $(SITES),--sites $(SITES))

bench-intake: setup ## Print how fast payments by Paybill are taken in; SECONDS=10 shortens a minute's look
	@cargo build --release --package tawi-controller
	@cargo build --profile simulation --package tawi-tests --bin intake
	@$(BUILD)
	@$(or $(CARGO_TARGET_DIR),target)/simulation/intake $(if $(SECONDS),--seconds $(SECONDS))

bench-money: setup ## Play a million steps of payments, losses and lies and compare the books; STEPS=50000 plays fewer, SEED=7 others
	@cargo build --profile simulation --package tawi-tests --bin money
	@$(or $(CARGO_TARGET_DIR),target)/simulation/money $(if $(STEPS),--steps $(STEPS)) $(if $(SEED),--seed $(SEED))

soak: setup ## Play worlds of the link with every fault there is; SEEDS=100000 is a night, SEED=7 SEEDS=1 one of them
	@cargo build --profile simulation --package tawi-tests --bin link
	@$(or $(CARGO_TARGET_DIR),target)/simulation/link $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED)) $(if $(STEPS),--steps $(STEPS))

clean: ## Remove what was built
	@cargo clean
