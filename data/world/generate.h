// Makes a data set of the generated world: DIR/train and DIR/val, each as written by DatasetWriter, of routes that
// share nothing; and a few pictures for people in DIR/pictures.
#pragma once

#include <functional>
#include <string>

#include "data/world/figures.h"
#include "data/world/settings.h"

namespace bev::world {

struct GenerateOptions {
  std::string directory;
  WorldSettings world = world_settings("balanced");
  RecordingSettings recording;
  uint64_t seed = 0;
  int train_routes = 200, val_routes = 40;
  int pictures = 8;  // of validation samples
  int threads = 1;
};

struct GenerateReport {
  int64_t train_samples = 0, train_frames = 0, val_samples = 0, val_frames = 0;
  Figures::Result figures;
};

/// Validation routes are numbered from here on, so that their number does not depend on how many train.
constexpr uint32_t first_validation_route = 1'000'000;

/// The same options give the same files, whatever the number of threads. `progress` is told how many routes of all are
/// done. Throws Error(ErrorKind::usage) if an option makes no sense or either data set exists.
GenerateReport generate(const GenerateOptions& options,
                        const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace bev::world
