# Sets up, builds, runs and tests PackEvolve. What it makes: .venv (PyTorch), target (cargo), runs (packevolve).
.ONESHELL:
.SHELLFLAGS := -euc
.PHONY: help evolve test test-long check gpu-check man setup

# One profile for everything: a second one would compile the C++ half of tch a second time.
CARGO_FLAGS := --release --locked --workspace
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11 python3.10
READY := .venv/ready

# An environment whose python is gone, as after an upgrade of the system, is made again.
ifeq ($(shell test -x .venv/bin/python || echo gone),gone)
.PHONY: $(READY)
endif

help: ## list these targets (the default)
	@sed -n 's/^\([a-z-]*\):.*## /make \1 \t/p' Makefile

evolve: $(READY) ## run the optimisation loop; ARGS="--rng-seed 2" passes it arguments
	cargo build $(CARGO_FLAGS)
	exec "$${CARGO_TARGET_DIR:-target}/release/packevolve" evolve $(ARGS)

test: $(READY) ## build and run all tests; the slowest ones are listed at the end
	cargo build $(CARGO_FLAGS)
	log="$${CARGO_TARGET_DIR:-target}/tests.log"
	rm -f "$$log.failed"
	{ cargo test $(CARGO_FLAGS) --config "target.'cfg(unix)'.runner = '$$PWD/.ci/timed'" 2>&1 || touch "$$log.failed"; } | tee "$$log"
	echo "The slowest tests, seconds:"
	sed -n 's/^test \(.*\) \.\.\. ok <\(.*\)s>$$/\2  \1/p' "$$log" | sort -rn | head -15
	test ! -e "$$log.failed"

test-long: $(READY) ## run what takes minutes or depends on the clock: each moment of a crash, each fate twice, races
	cargo build $(CARGO_FLAGS)
	PACKEVOLVE_CRASHES=all cargo test $(CARGO_FLAGS) -- --include-ignored long slowed crash:: tamper::

check: $(READY) ## format, lints and docs, with warnings denied
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps

gpu-check: $(READY) ## run the judge's tests on the GPU, and show all programs on CPU and GPU
	cargo build $(CARGO_FLAGS)
	if "$${CARGO_TARGET_DIR:-target}/release/packevolve" doctor --format json | grep -q '"device": *"cuda'; then
	    export PACKEVOLVE_TEST_DEVICE=cuda:0
	    cargo test --release --locked -p packevolve-evaluator --test main -- fates serving cuda --nocapture
	    cargo test --release --locked -p packevolve --test main -- evaluate:: --nocapture
	else
	    echo "skipped: the tests on the GPU: there is no CUDA device here"
	fi
	cargo bench --locked --bench judge -- devices

man: $(READY) ## write the man pages to target/man
	cargo build $(CARGO_FLAGS)
	"$${CARGO_TARGET_DIR:-target}/release/packevolve" man "$${CARGO_TARGET_DIR:-target}/man"

setup: $(READY) ## make only the Python environment, .venv (PYTHON=... names the python)

# The environment is made in place, as its scripts hold its path, and is whole once it holds its stamp. Its own folder
# takes pip's temporary files, so that one disk is to be checked and nothing stays behind. At most it takes 8 GB, and as
# much again as pip downloads, 3 GB, in pip's cache.
$(READY): evaluator/requirements.txt
	@fail() { echo "packevolve: $$1" >&2; exit 1; }
	found=; python=
	for name in $(PYTHON); do
	    "$$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' 2>/dev/null || continue
	    found=$$name
	    "$$name" -c 'import venv, ensurepip' 2>/dev/null && python=$$name && break
	done
	test "$$found" || fail "no Python 3.10 to 3.14: install python3 (or name one: make PYTHON=/path/to/python3)"
	test "$$python" || fail "$$found has no venv module: install python3-venv"
	set -- $${CXX:-c++}
	command -v "$$1" >/dev/null || fail "no C++ compiler ($$1): install build-essential"
	command -v cargo >/dev/null || fail "no cargo: install Rust from https://rustup.rs, then open a new shell"
	rust=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
	printf 'cargo %s\n' "$$rust" "$$(cargo --version | cut -d' ' -f2)" | sort -VC ||
	    fail "cargo is older than $$rust: install Rust from https://rustup.rs, or run rustup update"
	test "$$(df -Pk . | awk 'NR == 2 { print $$4 }')" -ge 12000000 ||
	    fail "less than 12 GB free here: free some space, PyTorch and the build need it"
	trap 'rm -rf .venv' EXIT
	trap 'exit 130' HUP INT TERM
	echo "Setting up .venv: about 3 GB of Python packages, some minutes"
	rm -rf .venv
	"$$python" -m venv .venv
	mkdir .venv/tmp
	TMPDIR=$$PWD/.venv/tmp .venv/bin/python -m pip install --requirement $< ||
	    fail "pip could not install $<, for the reason above; .venv is removed again"
	rm -r .venv/tmp
	cd .venv
	ln -s lib/python3*/site-packages/torch libtorch
	cd ..
	touch $@
	trap - EXIT
