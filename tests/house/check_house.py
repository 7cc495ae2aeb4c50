#!/usr/bin/env python3
"""Checks the shape of the house, which no compiler does: rooms include only what they may depend on, no source file grows
past 500 lines, and only the few files that bind a device know whether CUDA is there. Run from the project's root."""
import pathlib
import re
import sys

MAY_INCLUDE = {  # kernels <- runtime <- {data, model} <- tools <- tests
    "kernels": {"kernels"},
    "runtime": {"kernels", "runtime"},
    "data": {"kernels", "runtime", "data"},
    "model": {"kernels", "runtime", "model"},
    "tools": {"kernels", "runtime", "data", "model", "tools"},
    "tests": {"kernels", "runtime", "data", "model", "tools", "tests"},
}
LINES_AT_MOST = 500
MAY_ASK_FOR_CUDA = {
    "kernels/annotate.h": "the annotation of functions for both devices",
    "kernels/team.h": "the team of a CUDA kernel",
    "kernels/launch.h": "whether launches on CUDA exist",
    "runtime/no_cuda.cpp": "what a program without CUDA answers when asked for a GPU",
}
SUFFIXES = {".h", ".cpp", ".cu", ".cuh", ".py", ".sh"}


def faults_of(path: pathlib.PurePath, text: str) -> list[str]:
    """What is wrong with one file, given its path relative to the root."""
    lines = text.splitlines()
    faults = []
    if len(lines) > LINES_AT_MOST:
        faults.append(f"{path}: {len(lines)} lines, at most {LINES_AT_MOST}: split it by idea")
    allowed = MAY_INCLUDE[path.parts[0]]
    for number, line in enumerate(lines, 1):
        include = re.match(r'\s*#\s*include\s*"([a-z]+)/', line)
        if include and include[1] in MAY_INCLUDE and include[1] not in allowed:
            faults.append(f"{path}:{number}: {path.parts[0]}/ must not include {include[1]}/")
        asks = re.match(r"\s*#\s*(if|ifdef|ifndef|elif)\b.*(BEV_HAS_CUDA|__CUDACC__|__CUDA_ARCH__)", line)
        if asks and str(path) not in MAY_ASK_FOR_CUDA:
            faults.append(f"{path}:{number}: only {', '.join(sorted(MAY_ASK_FOR_CUDA))} may ask for CUDA")
    return faults


def self_check() -> None:
    """The checks must be able to fail."""
    wrong = [
        ("kernels/x.h", '#include "runtime/tensor.h"'),
        ("runtime/x.cpp", '#include "model/policy.h"'),
        ("data/x.cpp", '#include "model/policy.h"'),
        ("model/x.cpp", "#ifdef BEV_HAS_CUDA"),
        ("tools/x.cpp", "\n" * 501),
    ]
    for path, text in wrong:
        if not faults_of(pathlib.PurePath(path), text):
            sys.exit(f"check_house does not notice {text[:40]!r} in {path}")
    if faults_of(pathlib.PurePath("model/x.cpp"), '#include "runtime/tensor.h"\n'):
        sys.exit("check_house objects to model/ including runtime/")


def main() -> int:
    self_check()
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files = [f for room in MAY_INCLUDE for f in sorted((root / room).rglob("*")) if f.suffix in SUFFIXES]
    faults = [fault for f in files for fault in faults_of(f.relative_to(root), f.read_text(encoding="utf-8"))]
    print("\n".join(faults + [f"{len(files)} files, {len(faults)} faults"]))
    return 1 if faults or not files else 0


if __name__ == "__main__":
    sys.exit(main())
