// What a conversion will do, known before the first large file is read: which samples go into which split in which
// order, and which frames they need. A function of the tree and the options, so that an interrupted conversion can go
// on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/motdp/sample.h"
#include "data/progress.h"

namespace bev::motdp {

enum class Mode : uint8_t { tokens, raster };
enum class Split : uint8_t {
  route,  // whole routes, by a draw that depends on the routes' names and the seed
  given   // as the tree's folders train/ and val/ have it
};

struct ConvertOptions {
  std::string data;    // holds train/*.pkl and val/*.pkl
  std::string images;  // what the paths in the samples are relative to
  std::string out;     // gets train/ and val/
  Mode mode = Mode::tokens;
  Split split = Split::route;
  double val_fraction = 0.1;  // of the routes, with Split::route
  uint64_t seed = 0;
  bool vl = true;       // false: vision-language tokens are left out
  int64_t horizon = 0;  // future waypoints to keep; 0: all
  int64_t reasoning_rows = 7;
  bool skip_bad = false;  // samples that are damaged or lack a file are left out and counted; else they are errors
  uint64_t shard_bytes = uint64_t{256} << 20;
  int threads = 1;
};

struct PlannedSample {
  std::string source;  // "train/x.pkl"
  Sample sample;
  std::vector<int64_t> frames;  // numbers in the split's frame table
  int64_t route = 0;            // number in Plan::routes
};

struct SplitPlan {
  std::string name;  // "train" or "val"
  std::vector<PlannedSample> samples;
  std::vector<std::string> frames;  // paths under the image root: rasters or their tokens, by mode
  std::string digest;               // of all that decides the bytes of the split, as far as names and sizes tell
};

struct Plan {
  std::vector<std::string> routes;   // sorted
  std::vector<SplitPlan> splits;     // those that have samples
  std::vector<std::string> skipped;  // why, one line a sample
  int64_t shared_routes = 0;         // that are in both splits
};

/// Reads every sample's pickle and looks whether its files exist. Throws Error(ErrorKind::data) naming the file that is
/// damaged, missing or unlike the others, Error(ErrorKind::usage) if there is nothing to convert or to split.
Plan make_plan(const ConvertOptions& options, const ProgressCallback& progress = {});

}  // namespace bev::motdp
