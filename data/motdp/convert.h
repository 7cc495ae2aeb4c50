// Turns a MoT-DP tree into data sets. Several shards at a time; a conversion that was interrupted goes on where it
// stopped, since every shard is a function of the plan and says which plan it is of.
#pragma once

#include "data/motdp/plan.h"

namespace bev::motdp {

struct ConvertReport {
  Plan plan;                                    // what was done
  int64_t shards_written = 0, shards_kept = 0;  // kept: left by an earlier, interrupted run
};

/// Writes OUT/train and OUT/val, each with sources.txt (line i: the pickle of sample i), and OUT/routes.txt (line i:
/// route number i). `reading` counts samples while the plan is made, `writing` rows of shards. Throws Error as
/// make_plan, naming the source file of what is damaged, or if the disk has too little space; what is complete stays.
ConvertReport convert(const ConvertOptions& options, const ProgressCallback& reading = {},
                      const ProgressCallback& writing = {});

}  // namespace bev::motdp
