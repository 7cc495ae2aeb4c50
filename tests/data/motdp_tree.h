// The tree under tests/data/files/motdp, whose numbers follow the rules of make_motdp_tree.py, which made it.
#pragma once

#include <bit>
#include <cstdint>
#include <string>

namespace bev::test {

struct MotdpTree {
  static constexpr const char* root = "tests/data/files/motdp";
  static std::string data() { return std::string(root) + "/data"; }
  static std::string images() { return std::string(root) + "/images"; }

  static float value(int what, int64_t route, int64_t frame, int64_t i) {
    return static_cast<float>(what) + static_cast<float>(route) * 0.5f + static_cast<float>(frame) * 0.25f +
           static_cast<float>(i) * 0.125f - 2;
  }
  static uint16_t half(int what, int64_t route, int64_t frame, int64_t i) {
    return static_cast<uint16_t>(std::bit_cast<uint32_t>(value(what, route, frame, i)) >> 16);
  }
  static uint8_t pixel(int64_t route, int64_t frame, int64_t channel, int64_t y, int64_t x) {
    return static_cast<uint8_t>((route * 40 + frame * 8 + channel * 3 + y * 2 + x) % 256);
  }
  /// State value `column` of observed step `step` of the sample whose present is `now`.
  static float state(int64_t route, int64_t now, int64_t step, int64_t column) {
    if (column < 4) return value(1 + static_cast<int>(column), route, now, step);
    if (column < 10) return column - 4 == step ? 1.0f : 0.0f;
    return column < 12 ? value(5, route, now, step * 2 + column - 10) : value(6, route, now, step * 2 + column - 12);
  }
};

}  // namespace bev::test
