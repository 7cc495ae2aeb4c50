#!/usr/bin/env bash
# Installs, by name, the Debian or Ubuntu packages that building and testing need. Does nothing where all are present.
set -euo pipefail
packages=(g++ cmake ninja-build ccache pkg-config git python3 libdnnl-dev libyaml-cpp-dev libcxxopts-dev doctest-dev
          nlohmann-json3-dev libfmt-dev libpng-dev zlib1g-dev)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
command -v apt-get >/dev/null || { echo "install these packages first: ${missing[*]}" >&2; exit 1; }
as_root=(); [ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "installing: ${missing[*]}"
"${as_root[@]}" apt-get update -q
# On Ubuntu oneDNN is packaged under its newer name.
if ! apt-cache show libdnnl-dev >/dev/null 2>&1; then missing=("${missing[@]/libdnnl-dev/libonednn-dev}"); fi
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
