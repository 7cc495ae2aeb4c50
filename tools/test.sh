#!/usr/bin/env bash
# Builds everything and passes all tests, from a bare Debian or Ubuntu machine, with or without a GPU:
#   release   the program as it is used, CUDA side included where nvcc is found
#   sanitize  the same tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan      what runs in threads, under ThreadSanitizer
# usage: tools/test.sh [release|sanitize|tsan ...]     (default: the first two)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/install_packages.sh

stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=(release sanitize)
jobs=$(nproc)
for stage in "${stages[@]}"; do
  case $stage in
    release) build=build; targets=(all); selection=() ;;
    # Float32 parity is about the release's rounding: one ReLU that flips is beyond its limits. The float64 cases run the same code.
    # So do the small cases of bf16, without the large ones that are computed twice.
    sanitize) build=build-sanitize; targets=(all); selection=(-E '^parity_(f32|bf16)$') ;;
    tsan) build=build-tsan; targets=(runtime_tests data_tests model_tests); selection=(-R '^(runtime|data|model)_tests$') ;;
    *) echo "tools/test.sh: unknown stage $stage: expected release, sanitize or tsan" >&2; exit 2 ;;
  esac
  echo "== $stage: building"
  cmake --preset "$stage"
  cmake --build "$build" -j "$jobs" --target "${targets[@]}"
  echo "== $stage: testing"
  ctest --test-dir "$build" --output-on-failure --parallel "$jobs" "${selection[@]}"
done
