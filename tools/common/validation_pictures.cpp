#include "tools/common/validation_pictures.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/plot.h"
#include "data/scene_picture.h"
#include "model/trajectory_metrics.h"

namespace bev {

namespace {

constexpr Colour driven_colour{80, 220, 100}, predicted_colour{255, 90, 70}, straight_colour{130, 150, 255};
constexpr int blank_side = 64;  // of the empty raster where the data set holds tokens

DrawnTrajectory drawn(const std::string& name, std::span<const double> values, Colour colour) {
  DrawnTrajectory out{.name = name, .points = {}, .colour = colour};
  for (size_t i = 0; i + 1 < values.size(); i += 2) out.points.push_back({values[i], values[i + 1]});
  return out;
}

/// One number of every line of `event`, over the steps.
Curve curve_of(const std::vector<nlohmann::json>& lines, const char* event, const char* value, const char* name) {
  Curve out{.name = name, .x = {}, .y = {}};
  for (const nlohmann::json& line : lines) {
    if (line.value("event", "") != event || !line.contains(value) || !line[value].is_number()) continue;
    out.x.push_back(line["step"].get<double>());
    out.y.push_back(line[value].get<double>());
  }
  return out;
}

}  // namespace

ValidationPictures::ValidationPictures(std::shared_ptr<const Dataset> dataset, int64_t count, double share,
                                       std::string folder)
    : dataset_(std::move(dataset)), folder_(std::move(folder)) {
  const auto seen = static_cast<int64_t>(static_cast<double>(dataset_->size()) * share);
  for (int64_t i = 0; i < std::min(count, seen); ++i) trajectories_[(2 * i + 1) * seen / (2 * count)];
  std::filesystem::create_directories(folder_ + "/pictures");
}

void ValidationPictures::observe(std::span<const int64_t> samples, std::span<const double> trajectories) {
  const size_t values = trajectories.size() / samples.size();
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto wanted = trajectories_.find(samples[i]);
    if (wanted == trajectories_.end()) continue;
    const auto own = trajectories.subspan(i * values, values);
    wanted->second.assign(own.begin(), own.end());
  }
}

void ValidationPictures::draw(const ValidationReport& report) {
  for (auto& [sample, trajectory] : trajectories_) {
    if (!trajectory.empty()) draw_sample(sample, trajectory, report.step);
    trajectory.clear();
  }
  draw_curves();
}

void ValidationPictures::draw_sample(int64_t sample, const std::vector<double>& trajectory, int64_t step) const {
  const Tensor actions = dataset_->row(Table::samples, sample, "agent_pos");
  const Tensor states = dataset_->row(Table::samples, sample, "ego_status");
  const std::vector<double> driven(actions.data<float>(), actions.data<float>() + actions.size());
  const double speed = states.data<float>()[(states.dim(0) - 1) * states.dim(1)];
  const std::vector<double> straight = constant_velocity(speed, actions.dim(0));
  const DrawnTrajectory lines[] = {drawn("constant velocity", straight, straight_colour),
                                   drawn("driven", driven, driven_colour),
                                   drawn("policy", trajectory, predicted_colour)};

  std::vector<uint8_t> empty;
  const uint8_t* raster = nullptr;
  int side = blank_side;
  Tensor frame;
  if (find_field(dataset_->info().frame_fields, "lidar_bev")) {
    frame = dataset_->row(Table::frames, dataset_->frames(sample).back(), "lidar_bev");
    raster = frame.data<uint8_t>();
    side = static_cast<int>(frame.dim(1));
  } else {
    empty.resize(3 * blank_side * blank_side);
    raster = empty.data();
  }
  SceneOptions options;
  options.captions = {fmt::format("sample {}, {:.1f} m/s, step {}", sample, speed, step)};
  scene_picture(raster, side, lines, options)
      .write_png(fmt::format("{}/pictures/sample-{:06}-step-{:08}.png", folder_, sample, step));
}

void ValidationPictures::draw_curves() const {
  std::vector<nlohmann::json> lines;
  std::ifstream file(folder_ + "/metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
    if (parsed.is_object()) lines.push_back(std::move(parsed));
  }
  Curve training = curve_of(lines, "train", "loss", "training");
  training.average = 10;
  const Curve losses[] = {training, curve_of(lines, "validation", "loss", "validation")};
  plot_curves(losses,
              {.title = "loss", .x_label = "optimiser steps", .y_label = "mean squared error", .logarithmic = true})
      .write_png(folder_ + "/pictures/loss.png");
  const Curve errors[] = {curve_of(lines, "validation", "L2_avg", "policy"),
                          curve_of(lines, "validation", "cv_avg", "constant velocity"),
                          curve_of(lines, "validation", "mean_avg", "mean trajectory")};
  plot_curves(errors, {.title = "distance to what was driven", .x_label = "optimiser steps", .y_label = "metres"})
      .write_png(folder_ + "/pictures/error.png");
}

}  // namespace bev
