#include "data/world/generate.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "data/dataset_writer.h"
#include "data/parallel.h"
#include "data/world/sample_picture.h"
#include "data/world/samples.h"
#include "data/world/tokens.h"

namespace bev::world {

namespace {

void check(const GenerateOptions& options) {
  const RecordingSettings& recording = options.recording;
  if (options.directory.empty()) fail(ErrorKind::usage, "--out: expected the directory to write to");
  if (recording.raster < 32 || recording.raster > 1024 || recording.raster % 32 != 0) {
    fail(ErrorKind::usage, "--raster {}: expected a multiple of 32 from 32 to 1024", recording.raster);
  }
  if (!(recording.seconds >= 5 && recording.seconds <= 600)) {
    fail(ErrorKind::usage, "--seconds {}: expected 5 to 600", recording.seconds);
  }
  for (const auto& [name, count] :
       {std::pair{"--train-routes", options.train_routes}, std::pair{"--val-routes", options.val_routes}}) {
    if (count < 1 || count > static_cast<int>(first_validation_route)) {
      fail(ErrorKind::usage, "{} {}: expected 1 to {}", name, count, first_validation_route);
    }
  }
  if (options.pictures < 0) fail(ErrorKind::usage, "--pictures {}: expected 0 or more", options.pictures);
  if (options.threads < 1) fail(ErrorKind::usage, "--threads {}: expected at least 1", options.threads);
}

std::vector<FieldSpec> sample_fields(const RecordingSettings& recording) {
  return {{"ego_status", DType::f32, {recording.history, state_size}},
          {"agent_pos", DType::f32, {recording.horizon, 2}},
          {"gen_vit_tokens", DType::bf16, {vl_tokens, token_width}},
          {"reasoning_query_tokens", DType::bf16, {reasoning_tokens, token_width}},
          {"frames", DType::i64, {recording.history}},
          {"route", DType::i64, {}}};
}

struct Recorded {
  Drive drive;
  std::vector<Sample> samples;
  std::vector<std::vector<uint8_t>> rasters;  // by moment
};

void write(DatasetWriter& writer, const Recorded& route, int history) {
  std::vector<int64_t> frames(route.rasters.size(), -1);  // by moment
  for (size_t moment = 0; moment < frames.size(); ++moment) {
    if (route.rasters[moment].empty()) continue;
    const FieldView view = FieldView::of("lidar_bev", route.rasters[moment]);
    frames[moment] = writer.add_frame({&view, 1});
  }
  const std::vector<int64_t> number = {route.drive.route.number};
  for (const Sample& sample : route.samples) {
    const std::span<const int64_t> shown(frames.data() + sample.moment - history + 1, static_cast<size_t>(history));
    const std::array views = {FieldView::of("ego_status", sample.ego_status),
                              FieldView::of("agent_pos", sample.agent_pos),
                              FieldView::of("gen_vit_tokens", sample.vl),
                              FieldView::of("reasoning_query_tokens", sample.reasoning),
                              FieldView::of("frames", shown),
                              FieldView::of("route", number)};
    writer.add_sample(views);
  }
}

/// From another moment of each route, so that the pictures are not all of a begin.
void write_picture(const GenerateOptions& options, const Recorded& route, int index) {
  const std::string directory = options.directory + "/pictures";
  std::filesystem::create_directories(directory);
  const Sample& sample = route.samples[static_cast<size_t>(37 * index) % route.samples.size()];
  const RecordingSettings& recording = options.recording;
  const Picture picture = sample_picture(route.drive, sample, route.rasters[static_cast<size_t>(sample.moment)].data(),
                                         recording.raster, recording.metres);
  picture.write_png(fmt::format("{}/route_{}_moment_{:03}.png", directory, route.drive.route.number, sample.moment));
}

/// Records routes `first` .. `first + count - 1` in parallel, a few at a time, and hands them on in order.
template <class Take>
void record(const GenerateOptions& options, uint32_t first, int count, Take take) {
  const int group = 2 * options.threads;
  for (int begin = 0; begin < count; begin += group) {
    std::vector<Recorded> recorded(static_cast<size_t>(std::min(group, count - begin)));
    parallel_for(static_cast<int64_t>(recorded.size()), options.threads, [&](int64_t i) {
      const uint32_t route = first + static_cast<uint32_t>(begin + i);
      Recorded& at = recorded[static_cast<size_t>(i)];
      at.drive = drive_route(options.world, options.seed, route, options.recording.seconds);
      at.samples = make_samples(at.drive, options.recording);
      at.rasters = make_rasters(at.drive, at.samples, options.recording);
    });
    for (const Recorded& route : recorded) take(route);
  }
}

}  // namespace

GenerateReport generate(const GenerateOptions& options,
                        const std::function<void(int64_t done, int64_t total)>& progress) {
  check(options);
  const RecordingSettings& recording = options.recording;
  const std::vector<FieldSpec> frame_fields = {{"lidar_bev", DType::u8, {3, recording.raster, recording.raster}}};
  const auto writer = [&](const char* split, int routes) {
    return DatasetWriter(options.directory + "/" + split, sample_fields(recording), frame_fields,
                         {.provenance = {{"made by", "bev_data generate"},
                                         {"world", options.world.name},
                                         {"seed", std::to_string(options.seed)},
                                         {"routes", std::to_string(routes)},
                                         {"seconds a route", fmt::format("{}", recording.seconds)},
                                         {"metres a raster", fmt::format("{}", recording.metres)}}});
  };
  // Both exist before the first route is driven, so that one that cannot be written is known at once.
  DatasetWriter train = writer("train", options.train_routes), val = writer("val", options.val_routes);

  const int64_t total = int64_t{options.train_routes} + options.val_routes;
  int64_t done = 0;
  const auto advance = [&] {
    if (++done; progress) progress(done, total);
  };
  Figures figures;
  record(options, 0, options.train_routes, [&](const Recorded& route) {
    write(train, route, recording.history);
    figures.add_training(route.samples);
    advance();
  });
  int pictures = 0;
  record(options, first_validation_route, options.val_routes, [&](const Recorded& route) {
    write(val, route, recording.history);
    figures.add_validation(route.drive, route.samples);
    if (pictures < options.pictures && !route.samples.empty()) write_picture(options, route, pictures++);
    advance();
  });
  // Training data last: where it is complete, all is.
  const DatasetInfo validation = val.finish(), training = train.finish();
  return {.train_samples = training.samples,
          .train_frames = training.frames,
          .val_samples = validation.samples,
          .val_frames = validation.frames,
          .figures = figures.result()};
}

}  // namespace bev::world
