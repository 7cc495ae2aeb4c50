// What a run was, in one file beside its checkpoints: enough to repeat it, and for whoever drives with its weights to
// know how they were made.
#pragma once

#include <string>

#include "tools/common/training_run.h"

namespace bev {

/// Writes FOLDER/run.json, creating the folder: the resolved configuration, the batch and rate that follow from it,
/// devices, fingerprints of the data sets, versions, and the reference's keys that have no meaning here. A run that is
/// resumed adds what it resumed from.
void write_run_record(const std::string& folder, const ConfiguredRun& run, const TrainingRun& training,
                      const TrainingRequest& request);

}  // namespace bev
