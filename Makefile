# Sets up, builds, runs and tests PackEvolve. What it makes: .venv (PyTorch), target (cargo), runs (packevolve), dist
# (wheel).
.ONESHELL:
.SHELLFLAGS := -euc
.PHONY: help evolve test test-long check engines marks gpu-check gpu-kit man setup wheel sdist install

# One profile for everything: a second one would compile the C++ half of tch a second time.
CARGO_FLAGS := --release --locked --workspace
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11 python3.10
READY := .venv/ready

# One line a step, with its size and time; the rest is in this log, which an error names.
LOG := $${CARGO_TARGET_DIR:-target}/setup.log
STEP = packaging/step.py --log "$(LOG)"
# Says how far a build is, and nothing if there is nothing to build.
BUILD = .venv/bin/python -B $(STEP) --name Build --only-if Compiling \
    --size "$${CARGO_TARGET_DIR:-target}/release/packevolve" -- cargo build $(CARGO_FLAGS)

# An environment whose python is gone, as after an upgrade of the system, is made again.
ifeq ($(shell test -x .venv/bin/python || echo gone),gone)
.PHONY: $(READY)
endif

help: ## list these targets (the default)
	@sed -n 's/^\([a-z-]*\):.*## /make \1 \t/p' Makefile

evolve: $(READY) ## run the optimisation loop; ARGS="--rng-seed 2" passes it arguments
	@$(BUILD)
	exec "$${CARGO_TARGET_DIR:-target}/release/packevolve" evolve $(ARGS)

# `cargo build` would compile everything a second time: tests need more of some dependencies.
test: $(READY) ## build and run all tests; the slowest ones are listed at the end
	log="$${CARGO_TARGET_DIR:-target}/tests.log"
	rm -f "$$log.failed"
	{ cargo test $(CARGO_FLAGS) --config "target.'cfg(unix)'.runner = '$$PWD/.ci/timed'" 2>&1 || touch "$$log.failed"; } | tee "$$log"
	echo "The slowest tests, seconds:"
	sed -n 's/^test \(.*\) \.\.\. ok <\(.*\)s>$$/\2  \1/p' "$$log" | sort -rn | head -15
	test ! -e "$$log.failed"

test-long: $(READY) ## run what takes minutes or depends on the clock: each moment of a crash, each fate twice, races
	PACKEVOLVE_CRASHES=all cargo test $(CARGO_FLAGS) -- --include-ignored long slowed crash:: tamper:: slurm:: ssh::

ARM := aarch64-unknown-linux-gnu

check: $(READY) ## format, lints and docs, with warnings denied; the harness for aarch64 where that is installed
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps
	if test -d "$$(rustc --print target-libdir --target $(ARM) 2>/dev/null)" && command -v aarch64-linux-gnu-g++ >/dev/null; then
	    cargo check --release --locked -p packevolve --target $(ARM)
	else
	    echo "not compiled for aarch64: rustup target add $(ARM), and install g++-aarch64-linux-gnu"
	fi

engines: $(READY) ## check the exported packages in the engines, and compare planners; LOADS=path PROGRAM=file ARGS="--gpus 16"
	cargo build $(CARGO_FLAGS)
	target="$${CARGO_TARGET_DIR:-target}"
	.venv/bin/python -B tests/engines/main.py --packevolve "$$target/release/packevolve" --cache "$$target/engines" \
	    $(if $(PROGRAM),--program "$(PROGRAM)") $(if $(LOADS),--loads "$(LOADS)") $(ARGS)

marks: $(READY) ## what starting from the plan in force is worth, beside the marks of a slow planner; LOADS=folder PROGRAMS="a.py b.py"
	.venv/bin/python -B tests/engines/marks.py --loads "$(LOADS)" $(ARGS) $(PROGRAMS)

KIT := $${CARGO_TARGET_DIR:-target}/gpu-kit
# What the kit may take.
KIT_MIB := 50
# The drivers of evaluator/tests/gpu_jail.rs, each a definition for tests/testdata/gpu/libcuda.c.
GPU_DRIVERS := PLAIN AFFINITY HOSTS NOT_READY

gpu-kit: $(READY) ## put into target/gpu-kit what the check of a GPU needs where nothing can be built; PROGRAMS="a.py b.py" adds some
	cargo build $(CARGO_FLAGS)
	tests=$$(cargo test --release --locked -p packevolve-evaluator --test main --no-run 2>&1 | sed -n 's/.*(\(.*\))$$/\1/p' | tail -1)
	bench=$$(cargo bench --locked --bench judge --no-run 2>&1 | sed -n 's/.*(\(.*\))$$/\1/p' | tail -1)
	kit="$(KIT)"
	rm -rf "$$kit"
	mkdir -p "$$kit/tests/testdata" "$$kit/programs"
	strip -o "$$kit/packevolve" "$${CARGO_TARGET_DIR:-target}/release/packevolve"
	strip -o "$$kit/packevolve-judge" "$${CARGO_TARGET_DIR:-target}/release/packevolve-judge"
	strip -o "$$kit/evaluator-tests" "$$tests"
	strip -o "$$kit/judge-bench" "$$bench"
	cp -r tests/testdata/fates tests/testdata/policies tests/testdata/gpu "$$kit/tests/testdata"
	cp -r candidates config.yaml tests/gpu/check.sh tests/gpu/kernels.py "$$kit"
	mkdir "$$kit/tests/testdata/gpu/drivers"
	for driver in $(GPU_DRIVERS); do
	    $${CC:-cc} -shared -fPIC -O1 -s "-D$$driver" -o "$$kit/tests/testdata/gpu/drivers/$$driver" tests/testdata/gpu/libcuda.c -lpthread
	done
	for program in $(PROGRAMS); do cp "$$program" "$$kit/programs"; done
	PACKEVOLVE_TEST_ROOT="$$kit" "$$kit/judge-bench" programs
	mib=$$(du -sm "$$kit" | cut -f1)
	echo "$$mib MiB in $$kit"
	test "$$mib" -le $(KIT_MIB) || { echo "gpu-kit: more than $(KIT_MIB) MiB" >&2; exit 1; }

gpu-check: gpu-kit ## does the judge work on this machine's GPU? at most ten minutes; ARGS=cuda:1 names another one
	PYTHON="$${PYTHON:-$$PWD/.venv/bin/python}" OUT="$${CARGO_TARGET_DIR:-target}/gpu-check" bash "$(KIT)/check.sh" $(ARGS)

man: $(READY) ## write the man pages to target/man
	cargo build $(CARGO_FLAGS)
	"$${CARGO_TARGET_DIR:-target}/release/packevolve" man "$${CARGO_TARGET_DIR:-target}/man"

wheel: $(READY) ## build dist/packevolve-*.whl, which pip installs into an environment
	@$(BUILD)
	.venv/bin/python -B packaging/backend.py wheel dist

sdist: $(READY) ## build dist/packevolve-*.tar.gz, the sources
	@.venv/bin/python -B packaging/backend.py sdist dist

PREFIX ?= $(HOME)/.local

install: $(READY) ## put the programs, man pages and completions below PREFIX, ~/.local by default, without pip
	@$(BUILD)
	.venv/bin/python -B packaging/backend.py install "$(PREFIX)"

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
	echo "Setting up .venv once: about 3 GB to download, 5 GB on the disk" >&2
	rm -rf .venv
	"$$python" -B $(STEP) --name "Python environment" --size .venv -- "$$python" -m venv .venv
	mkdir .venv/tmp
	TMPDIR=$$PWD/.venv/tmp "$$python" -B $(STEP) --name "Python packages" --size .venv -- \
	    .venv/bin/python -m pip install --no-color --progress-bar off --requirement $< ||
	    fail "pip could not install $<; .venv is removed again"
	rm -r .venv/tmp
	cd .venv
	ln -s lib/python3*/site-packages/torch libtorch
	cd ..
	touch $@
	trap - EXIT
