#!/usr/bin/env bash
# Does the judge work on this machine's GPU? At most ten minutes; the steps that tell most come first. Needs a Python with
# the judge's version of torch, and no compiler.
#
# usage: bash check.sh [DEVICE]   DEVICE: cuda:0 unless named; with cpu the check itself can be tried
# `make gpu-kit` makes the folder that this script lies in. PYTHON names the interpreter, OUT the folder for the logs.
set -u
kit=$(cd "$(dirname "$0")" && pwd)
device=${1:-cuda:0}
out=${OUT:-$PWD/gpu-check}
mkdir -p "$out"
python=$("${PYTHON:-python3}" -c 'import sys; print(sys.executable)') || exit 1
torch=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))') || { echo "no torch in $python" >&2; exit 1; }
libraries=$(find "$torch/lib" "$torch"/../nvidia/*/lib -maxdepth 0 2>/dev/null | paste -sd:)
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PACKEVOLVE_TEST_PYTHON=$python PACKEVOLVE_TEST_JUDGE=$kit/packevolve-judge PACKEVOLVE_TEST_ROOT=$kit
export PACKEVOLVE_TEST_DATA=$kit/tests/testdata PACKEVOLVE_TEST_DEVICE=$device
# A test that finds no jail or no GPU fails. Only what a machine may well lack is left out, and named at the end.
export PACKEVOLVE_REQUIRE=1 PACKEVOLVE_MAY_SKIP=other-user
[ "$device" != cpu ] || PACKEVOLVE_MAY_SKIP=other-user,gpu
failed=
partly=
summary=

# step LIMIT NAME COMMAND...: runs a command for at most LIMIT seconds, and shows the end of its output. A function
# runs in a shell of its own, because timeout starts programs only. What a command leaves out it says on a line with
# "skipped: ".
step() {
    local limit=$1 name=$2 status left_out verdict=ok began=$SECONDS
    shift 2
    echo "=== $name"
    timeout --kill-after=5 "$limit" "$@" >"$out/$name.log" 2>&1
    status=$?
    tail -n 30 "$out/$name.log" | cut -c1-240
    left_out=$(grep -a 'skipped: ' "$out/$name.log" | cut -c1-240 | sed "s/^/$name: /")
    [ -z "$left_out" ] || { partly="$partly$left_out
"; verdict=partly; }
    [ $status = 0 ] || { failed="$failed $name"; verdict="failed: $status"; }
    summary="$summary$(printf '%-12s %-12s %4d s' "$name" "$verdict" $((SECONDS - began)))
"
}

facts() {
    uname -a
    id
    env | grep -E '^(LD_LIBRARY|CUDA|NVIDIA)' || true
    ls -l /dev/nvidia* /dev/dxg 2>/dev/null || echo "no device file of a GPU"
    cat /sys/module/nvidia/version 2>/dev/null || true
    grep -E ' /proc|nvidia' /proc/mounts
    cat /sys/kernel/security/lsm 2>/dev/null && echo
    nvidia-smi -q -d CLOCK,PERFORMANCE,COMPUTE,PIDS 2>/dev/null | head -80
    nproc
    ! ldd "$kit/packevolve-judge" | grep 'not found'
}

# The first use of CUDA makes the device files, and must happen outside of any jail.
plain() {
    "$python" - "$device" <<'PROGRAM'
import sys, time, torch
began = time.time()
device = torch.device(sys.argv[1])
torch.rand(58, 288, device=device).sort(-1).values.sum().item()
name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
print(torch.__version__, name, f"first call {time.time() - began:.2f} s")
PROGRAM
}

config=$out/config.yaml
printf 'baseline: %s\nevaluation: { device: "%s", python: "%s" }\n' "$kit/candidates/eplb.py" "$device" "$python" >"$config"

export kit python device
export -f facts plain
step 10 facts bash -uc facts
step 60 plain bash -uc plain
step 60 doctor "$kit/packevolve" doctor --config "$config"
step 150 cuda "$kit/evaluator-tests" cuda:: --test-threads=1 --nocapture
step 120 jail "$kit/evaluator-tests" gpu_jail:: --test-threads=1 --nocapture
step 50 kernels "$python" "$kit/kernels.py" "$device" "$kit"/candidates/*.py "$kit"/programs/*.py
step 150 devices "$kit/judge-bench" devices
rm -f "$config"
printf '\n%s' "$summary"
[ -z "$partly" ] || printf '\nNOT CHECKED, because something is lacking here:\n%s' "$partly" >&2
[ -z "$failed" ] || { echo "failed:$failed; the logs are in $out" >&2; exit 1; }
