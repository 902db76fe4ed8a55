# Two commands matter: `make demo` (the main job on a real cloud) and `make test`. The rest is for developers.
# Everything that a bare Debian 12 machine lacks is installed by the scripts themselves, except the Rust toolchain.
SHELL := /bin/bash
.NOTPARALLEL:
.PHONY: fresh-cloud demo demo-down test test-rust test-client test-dashboard test-devstack test-packaging test-cloud soak lint bench screenshots docs sample toolchain build deb

demo: build
	@devstack/demo/up

demo-down:
	@devstack/demo/down

build: toolchain
	@cargo build --locked

toolchain:
	@devstack/toolchain

# All tests, the cloud's included. Suites that are longer run here as a seeded sample; RATOON_SEED repeats one.
test: lint-fast fresh-cloud test-rust test-client test-dashboard test-devstack test-packaging test-cloud

fresh-cloud:
	@tests/fresh-cloud

test-rust: toolchain
	@tests/run-rust

test-client: toolchain
	@client/run-tests

test-dashboard:
	@dashboard/run-tests

test-devstack:
	@tests/devstack/run

# It makes an empty Debian of its own, which takes minutes the first time.
test-packaging: build
	@tests/packaging/run

test-cloud: build
	@tests/cloud/run

# The documentation's pictures of the panel, as its tests see it.
screenshots: build
	@RATOON_PICTURES=$(CURDIR)/doc/source/user/pictures tests/cloud/run test_panel.py

# The long suites, whole.
soak: build fresh-cloud
	@tests/soak

.PHONY: lint-fast
lint-fast: toolchain
	@cargo fmt --all --check

lint: lint-fast
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@devstack/cargo-deny check licenses bans sources

bench: toolchain
	@cargo build --locked --release
	@tests/bench/run

# The Debian package, in target/deb.
deb: toolchain
	@packaging/deb

docs: toolchain
	@RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --no-deps --workspace --document-private-items
	@doc/build

# The generated files under etc/; a test compares them.
sample: build
	@target/debug/ratoon manage config sample >etc/ratoon/ratoon.conf.sample
	@target/debug/ratoon manage policy sample >etc/ratoon/policy.yaml.sample
