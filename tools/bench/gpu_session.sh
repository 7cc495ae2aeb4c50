#!/usr/bin/env bash
# Everything that only a machine with a GPU can tell, in one go and in one log.
#   tools/bench/gpu_session.sh [--build build] [--device cuda:0] [--log FILE] [--limit SECONDS] [STAGE ...]
# Stages, by default all of them in this order; one that fails does not keep the others from running:
#   facts      what GPU, driver and libraries these are
#   test       the tests that need a GPU, parity included
#   memcheck   kernels and ops under compute-sanitizer: accesses out of bounds or misaligned
#   racecheck  kernels under compute-sanitizer: races in shared memory
#   probe      what products, convolutions, copies and launches reach
#   step       training steps in tf32 and bf16, batch 32 and 128, tokens and raster, as graphs and launched one by one
#   kernels    every kernel, product and convolution of those steps against the machine's rates
#   sample     trajectories a second
#   compare    beside PyTorch, where there is one that sees the GPU
# The last lines say what became of each stage. Exit status: 0 if all passed, 1 if one failed, 2 if it was called wrongly, 77 if
# there is no GPU.
# shellcheck disable=SC2317  # stages are called by their names
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1

build=build device=cuda:0 log="" limit=1800 stages=()
known=(facts test memcheck racecheck probe step kernels sample compare)
while [ $# -gt 0 ]; do
  case "$1" in
    --build | --device | --log | --limit)
      [ $# -ge 2 ] || { echo "gpu_session.sh: $1 needs a value" >&2; exit 2; }
      printf -v "${1#--}" %s "$2"
      shift ;;
    -h | --help) sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *)
      [[ " ${known[*]} " == *" $1 "* ]] || { echo "gpu_session.sh: $1 is no stage: expected one of ${known[*]}" >&2; exit 2; }
      stages+=("$1") ;;
  esac
  shift
done
[ ${#stages[@]} -gt 0 ] || stages=("${known[@]}")
bench="$build/tools/bev_bench"
[ -x "$bench" ] || { echo "gpu_session.sh: $bench is not there: build it first (cmake --preset release && cmake --build build)" >&2; exit 2; }
if ! why=$("$build/tools/gpu_probe" 2>&1); then
  printf '%s\n' "$why" "gpu_session.sh: no GPU is usable here, so there is nothing that this script can do" >&2
  exit 77
fi
[ -n "$log" ] || log="runs/gpu_session-$(date +%Y%m%d-%H%M%S).log"
mkdir -p "$(dirname "$log")"

sanitizer=""
for candidate in compute-sanitizer /usr/local/cuda/bin/compute-sanitizer /usr/local/cuda/compute-sanitizer/compute-sanitizer; do
  if command -v "$candidate" >/dev/null; then sanitizer=$candidate; break; fi
done
torch=""
for candidate in python3 /usr/bin/python3; do
  if "$candidate" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then torch=$candidate; break; fi
done

# run COMMAND...: shows the command, runs it within the limit, and remembers a failure of this stage.
run() {
  printf '\n$ %s\n' "$*"
  timeout --kill-after=30 "$limit" "$@"
  local status=$?
  [ "$status" -eq 0 ] && return
  [ "$status" -ne 124 ] || echo "stopped after $limit s"
  echo "exit status $status"
  failed=1
}
absent() { echo "not run: $1"; skipped=$1; }

full=(--config configs/motdp_full.yaml --device "$device")
raster=("${full[@]}" --set bev_encoder.mode=raster)
each_case() { # COMMAND options...: both modes, precisions and batches
  local precision batch
  for precision in tf32 bf16; do
    for batch in 32 128; do
      run "$bench" "$1" "${full[@]}" --set "runtime.precision=$precision" --batch "$batch" "${@:2}"
    done
    run "$bench" "$1" "${raster[@]}" --set "runtime.precision=$precision" --batch 32 "${@:2}"
  done
}

stage_facts() {
  run git log -1 --format='%h %s'
  command -v nvidia-smi >/dev/null && run nvidia-smi
  run "$build/tools/gpu_probe"
}
stage_test() { run ctest --test-dir "$build" -L gpu --output-on-failure; }
stage_memcheck() {
  [ -n "$sanitizer" ] || { absent "there is no compute-sanitizer"; return; }
  run "$sanitizer" --tool memcheck --error-exitcode 9 "$build/tests/device_cases" cuda fp32
  run "$sanitizer" --tool memcheck --error-exitcode 9 "$build/tests/gpu_tests"
}
stage_racecheck() {
  [ -n "$sanitizer" ] || { absent "there is no compute-sanitizer"; return; }
  run "$sanitizer" --tool racecheck --error-exitcode 9 "$build/tests/gpu_tests" --source-file='*launch_test.cpp'
  run "$sanitizer" --tool racecheck --error-exitcode 9 "$build/tests/device_cases" cuda fp32
}
stage_probe() { run "$build/tools/gpu_probe" --bench; }
stage_step() {
  each_case step --steps 50 --warmup 10
  each_case step --steps 50 --warmup 10 --set runtime.cuda_graph=off
  run "$bench" memory "${full[@]}" --batch 32
  run "$bench" memory "${raster[@]}" --batch 32
}
stage_kernels() {
  each_case kernels --steps 10 --warmup 5
  run "$bench" kernels "${full[@]}" --batch 32 --validation --set policy.num_inference_steps=10
}
stage_sample() {
  local precision
  for precision in tf32 bf16; do run "$bench" sample "${full[@]}" --set "runtime.precision=$precision" --batch 128; done
}
stage_compare() {
  [ -n "$torch" ] || { absent "there is no PyTorch that sees the GPU"; return; }
  local batch
  for batch in 32 128; do
    run tools/bench/compare.sh --device "$device" --build "$build" --batch "$batch" --steps 20 --repeats 5
  done
}

summary=() failures=0
session() {
  local stage begin state
  for stage in "${stages[@]}"; do
    printf '\n======== %s, %s\n' "$stage" "$(date '+%F %T')"
    failed=0 skipped="" begin=$SECONDS
    "stage_$stage"
    state=passed
    [ -z "$skipped" ] || state="not run: $skipped"
    if [ "$failed" -ne 0 ]; then state=FAILED failures=1; fi
    summary+=("$(printf '%-10s %5d s  %s' "$stage" $((SECONDS - begin)) "$state")")
  done
  printf '\n======== summary\n'
  printf '%s\n' "${summary[@]}"
  return "$failures"
}
session 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
echo "log: $log"
exit "$status"
