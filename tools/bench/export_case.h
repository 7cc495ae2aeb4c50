// One step, written out for others to compute again: configuration, weights, batch, and the loss and gradients that we
// get, without dropout. tools/bench/torch_bench.py reads it.
#pragma once

#include <string>

#include "tools/bench/bench_replica.h"

namespace bev {

/// Writes into `folder`, which it creates: case.json, model.safetensors, batch.safetensors, expected.safetensors.
/// Throws Error(usage) on a configuration that the peer does not know.
void export_case(const BenchCase& bench, const std::string& folder);

}  // namespace bev
