// A small data set whose every number is known: element i of field F of row r is a fixed function of (F, r, i).
#pragma once

#include <string>
#include <vector>

#include "data/dataset_writer.h"

namespace bev::test {

struct ExampleDataset {
  int64_t samples = 23, frames = 12;
  int64_t steps = 4, state = 14, horizon = 6, vl_tokens = 3, vl_width = 8;
  bool raster = false;
  uint64_t shard_bytes = 2000;  // several shards of either table

  std::vector<FieldSpec> sample_fields() const {
    return {{"ego_status", DType::f32, {steps, state}},
            {"agent_pos", DType::f32, {horizon, 2}},
            {"gen_vit_tokens", DType::bf16, {vl_tokens, vl_width}},
            {"frames", DType::i64, {steps}},
            {"route", DType::i64, {}}};
  }
  std::vector<FieldSpec> frame_fields() const {
    if (raster) return {{"lidar_bev", DType::u8, {3, 8, 16}}};
    return {{"lidar_token", DType::f32, {5, 6}}};
  }

  static float value(int field, int64_t row, int64_t i) {
    return static_cast<float>(field) + static_cast<float>(row % 97) * 0.5f - static_cast<float>(i % 13) * 0.25f;
  }
  static std::vector<float> floats(int field, int64_t row, int64_t elements) {
    std::vector<float> out;
    for (int64_t i = 0; i < elements; ++i) out.push_back(value(field, row, i));
    return out;
  }
  static std::vector<uint16_t> halves(int64_t row, int64_t elements) {
    std::vector<uint16_t> out;
    for (int64_t i = 0; i < elements; ++i) out.push_back(static_cast<uint16_t>(0x3F80 + (row * 7 + i) % 50));
    return out;
  }
  static std::vector<uint8_t> bytes(int64_t row, int64_t elements) {
    std::vector<uint8_t> out;
    for (int64_t i = 0; i < elements; ++i) out.push_back(static_cast<uint8_t>(row * 31 + i));
    return out;
  }
  /// The frame of a step of a sample.
  int64_t frame(int64_t sample, int64_t step) const { return (sample / 2 + step) % frames; }

  void write(const std::string& directory) const {
    DatasetWriter writer(directory, sample_fields(), frame_fields(),
                         {.shard_bytes = shard_bytes, .provenance = {{"made by", "a test"}}});
    for (int64_t row = 0; row < frames; ++row) {
      const FieldView token = FieldView::of("lidar_token", floats_ = floats(3, row, 30));
      const FieldView pixels = FieldView::of("lidar_bev", bytes_ = bytes(row, 3 * 8 * 16));
      writer.add_frame({raster ? &pixels : &token, 1});
    }
    for (int64_t row = 0; row < samples; ++row) {
      const auto state_values = floats(1, row, steps * state), future = floats(2, row, horizon * 2);
      const auto vl = halves(row, vl_tokens * vl_width);
      std::vector<int64_t> used;
      for (int64_t step = 0; step < steps; ++step) used.push_back(frame(row, step));
      const std::vector<int64_t> route = {row / 5};
      const FieldView fields[] = {FieldView::of("route", route), FieldView::of("frames", used),
                                  FieldView::of("ego_status", state_values), FieldView::of("agent_pos", future),
                                  FieldView::of("gen_vit_tokens", vl)};
      writer.add_sample(fields);
    }
    writer.finish();
  }

 private:
  mutable std::vector<float> floats_;
  mutable std::vector<uint8_t> bytes_;
};

}  // namespace bev::test
