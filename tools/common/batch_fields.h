// What a data set for a policy holds, as bev_data writes it: for plans and measurements that have no data set.
#pragma once

#include <vector>

#include "model/policy_config.h"
#include "runtime/train/batch.h"

namespace bev {

/// The fields of a data set for this policy. `dtype`: what the model computes in. Tokens of language models are bf16,
/// as data sets store them; `floating_raster`: rasters as normalised numbers instead of bytes.
std::vector<FieldSpec> fields_of(const PolicyConfig& policy, DType dtype, bool floating_raster = false);

}  // namespace bev
