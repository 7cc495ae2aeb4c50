// One parity case: a configuration, and what the reference computed for it in float64.
#pragma once

#include <cstdint>
#include <string>

#include "model/policy_config.h"
#include "runtime/file/safetensors.h"

namespace bev::parity {

enum class CaseKind : uint8_t { loss, train, sample };

struct Case {
  SafetensorsFile file;
  CaseKind kind = CaseKind::loss;
  PolicyConfig policy;
  int64_t batch = 1;
  bool training = true;      // batch norm uses the batch's statistics
  bool given_masks = false;  // key masks are part of the case
  // Rows at the end of every sample's reasoning tokens that are zero in the data, for cases of `mask_padding`.
  int64_t padded_rows = 0;
  // `train` cases.
  int64_t steps = 1;
  double learning_rate = 0, weight_decay = 0, max_gradient_norm = 0;
  // `sample` cases.
  int64_t inference_steps = 0;
  bool ddim = false;

  /// The diffusion time of `sample` in step `step`.
  int64_t time(int64_t sample, int64_t step) const { return (37 * (sample + 1) + 11 * step) % policy.diffusion.steps; }
};

/// Throws Error(data) naming the file and the key if the case is not one.
Case read_case(const std::string& path);

}  // namespace bev::parity
