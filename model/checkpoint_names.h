// Names in MoT-DP's checkpoints that are not names of our parameters: tensors that it repeats because several modules
// hold the same one, and those that a model here has no use for.
#pragma once

#include "model/policy_config.h"
#include "runtime/train/weights_file.h"

namespace bev {

/// With `repeat`, files that are written hold the repetitions too, as MoT-DP's do: shared decoder layers under
/// decoder.layers.0
/// .. n_layer-1, the backbone also under bev_model_mot.backbone. Reading understands both.
FileNames checkpoint_names(const PolicyConfig& config, bool repeat = false);

}  // namespace bev
