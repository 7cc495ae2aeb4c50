#!/usr/bin/env bash
# From a bare machine to a policy that drives: builds, generates the town, trains configs/quickstart.yaml in at most four
# minutes on two cores, and shows how it drives on routes it has never seen: the whole picture, and without its raster or tokens.
#   usage: tools/quickstart.sh [SEED ...]      (default: 1; more than one also prints the mean over them)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset OPENBLAS_CORETYPE
bash tools/install_packages.sh
cmake --preset cpu
cmake --build build-cpu -j "$(nproc)" --target bev_train_program bev_data_program bev_eval_program

[ -f datasets/town/train/dataset.json ] || build-cpu/tools/bev_data generate --world obstacle-rich --out datasets/town
seeds=("$@")
[ ${#seeds[@]} -gt 0 ] || seeds=(1)
runs=()
for seed in "${seeds[@]}"; do
  run=runs/quickstart-$seed
  runs+=("$run")
  build-cpu/tools/bev_train --device cpu --config configs/quickstart.yaml --set training.seed="$seed" \
    --set training.checkpoint_dir="$run" --resume auto
done
build-cpu/tools/bev_eval --device cpu --ablate none,bev,vl "${runs[@]/#/--run=}"
