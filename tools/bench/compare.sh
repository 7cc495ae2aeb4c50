#!/usr/bin/env bash
# Sets bev_bench beside PyTorch on this machine: exports a step, has PyTorch show the same loss and gradients on it, then
# times both alternately and prints the ratio of the medians with its spread. Ours, PyTorch at its best (threads, waiting
# and memory set up well) and PyTorch as it comes take turns, so that whatever else the machine does hits all alike.
#   tools/bench/compare.sh [--device cpu|cuda:0] [--config FILE] [--set a.b=c]... [--batch 8] [--repeats 5] [--steps 3]
#                          [--build build-cpu] [--cells N] [--python FILE] [--precision tf32|fp32|bf16]
# --python: an interpreter with the newest PyTorch at hand. By default the one in front if it has PyTorch, else the system's,
# for which Debian's PyTorch is installed, with a BLAS worth the name.
# --precision: of both sides' products on the CPU. By default tf32, what the policy's users train with: whoever has faster
# products that lose no more than TF32 does may use them.
# PyTorch runs eagerly and, where it has torch.compile, compiled; its best is the faster. On a GPU both run in tf32 and in bf16,
# against ours in the same precision.
# The last lines are `ratio N.NN` (to PyTorch at its best) and, on the CPU, `ratio_default N.NN` (eagerly, as it comes).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

device=cpu config="$root/configs/motdp_full.yaml" batch=8 repeats=5 steps=3 build="$root/build-cpu" extra=() python="" precision=tf32
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || { echo "compare.sh: $1 needs a value" >&2; exit 2; }
  case "$1" in
    --device) device=$2 ;;
    --config) config=$2 ;;
    --batch) batch=$2 ;;
    --repeats) repeats=$2 ;;
    --steps) steps=$2 ;;
    --build) build=$2 ;;
    --python) python=$2 ;;
    --precision) precision=$2 ;;
    --set | --cells | --vl-tokens | --reasoning-tokens) extra+=("$1" "$2") ;;
    *) echo "compare.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done
case "$precision" in tf32 | fp32 | bf16) ;; *) echo "compare.sh: --precision $precision: expected tf32, fp32 or bf16" >&2; exit 2 ;; esac
bench="$build/tools/bev_bench"
[ -x "$bench" ] || { echo "compare.sh: $bench is not there: build it first (cmake --build $build)" >&2; exit 2; }

if [ -z "$python" ]; then
  for candidate in python3 /usr/bin/python3; do
    if "$candidate" -c 'import torch' 2>/dev/null; then python=$candidate; break; fi
  done
fi
if [ -z "$python" ]; then
  echo "no PyTorch here: installing Debian's"
  python=/usr/bin/python3
  apt-get install -y --no-install-recommends python3-torch >/dev/null
fi
# Debian's PyTorch computes with whatever BLAS the system has; without OpenBLAS that is the reference, of no use as a peer.
if [ "$python" -ef /usr/bin/python3 ] && ! ldconfig -p | grep -q libopenblas.so.0; then
  apt-get install -y --no-install-recommends libopenblas0-pthread >/dev/null
fi
"$python" -c 'import torch' || { echo "compare.sh: $python has no PyTorch" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Whatever the shell was told about threads and libraries would favour one side: both start clean.
unset OPENBLAS_CORETYPE OMP_NUM_THREADS OMP_WAIT_POLICY MALLOC_MMAP_MAX_ MALLOC_TRIM_THRESHOLD_ MALLOC_TOP_PAD_ MKL_NUM_THREADS

ours() { # FILE PRECISION
  "$bench" step --json --config "$config" ${extra[@]+"${extra[@]}"} --set "runtime.precision=$2" --device "$device" \
    --batch "$batch" --steps "$steps" --warmup 1 >>"$1"
}
torch() { # FILE arguments
  local file=$1
  shift
  "$python" "$here/torch_bench.py" "$work/case" --device "$device" --steps "$steps" --warmup 1 --no-check "$@" >>"$file"
}
torch_best() {
  OMP_NUM_THREADS=$(nproc) OMP_WAIT_POLICY=PASSIVE MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=60000000000 \
    MALLOC_TOP_PAD_=1000000000 torch "$@"
}
ratio() { # NAME OURS THEIRS: medians of all repeats, the spread of single repeats' ratios, and the ratio of the medians
  "$python" - "$@" <<'PY'
import json, statistics, sys
name, ours, theirs = sys.argv[1], *([json.loads(line)["median"] for line in open(path)] for path in sys.argv[2:4])
ratios = sorted(t / o for o, t in zip(ours, theirs))
a, b = statistics.median(ours), statistics.median(theirs)
print(f"ours {a:.3f} s ({min(ours):.3f} .. {max(ours):.3f}), PyTorch {b:.3f} s ({min(theirs):.3f} .. {max(theirs):.3f}), "
      f"ratio of single repeats {ratios[0]:.2f} .. {ratios[-1]:.2f}")
print(f"{name} {b / a:.2f}")
PY
}

"$bench" export --config "$config" ${extra[@]+"${extra[@]}"} --set runtime.precision=fp32 --device "$device" \
  --batch "$batch" --out "$work/case"
echo "agreement, without dropout:"
"$python" "$here/torch_bench.py" "$work/case" --device "$device" --steps 1 --warmup 0

compiles=$("$python" -c 'import torch; print(int(hasattr(torch, "compile")))')
if [ "$device" = cpu ]; then
  for ((i = 1; i <= repeats; i++)); do
    ours "$work/ours" "$precision"
    torch_best "$work/eager" --precision "$precision"
    [ "$compiles" = 0 ] || torch_best "$work/compiled" --precision "$precision" --compile
    torch "$work/default" --precision "$precision"
    echo "repeat $i of $repeats done"
  done
  best=""
  for mode in eager compiled; do
    [ -e "$work/$mode" ] || continue
    echo "against PyTorch at its best, $mode, $precision:"
    shown=$(ratio ratio "$work/ours" "$work/$mode")
    echo "$shown"
    best=$(printf '%s\n' "$best" "$(tail -n 1 <<<"$shown")" | grep . | sort -k 2 -n | head -n 1)  # the smaller: its best
  done
  echo "against PyTorch as it comes, $precision:"
  default=$(ratio ratio_default "$work/ours" "$work/default")
  head -n 1 <<<"$default"
  echo "$best"
  tail -n 1 <<<"$default"
else
  for precision in bf16 tf32; do
    for ((i = 1; i <= repeats; i++)); do
      ours "$work/ours_$precision" "$precision"
      torch_best "$work/eager_$precision" --precision "$precision"
      [ "$compiles" = 0 ] || torch_best "$work/compile_$precision" --precision "$precision" --compile
      echo "$precision: repeat $i of $repeats done"
    done
    for mode in eager compile; do
      [ -e "$work/${mode}_$precision" ] || continue
      echo "against PyTorch, $mode, $precision:"
      ratio "ratio_${mode}_$precision" "$work/ours_$precision" "$work/${mode}_$precision"
    done
  done
  fastest=eager
  [ "$compiles" = 0 ] || fastest=compile
  ratio ratio "$work/ours_tf32" "$work/${fastest}_tf32" | tail -n 1
fi
