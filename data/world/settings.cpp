#include "data/world/settings.h"

#include "runtime/error.h"

namespace bev::world {

WorldSettings world_settings(std::string_view name) {
  if (name == "balanced") {
    return {.name = "balanced",
            .straight = {30, 90},
            .junctions = 0.4,
            .curves = 0.35,
            .radius = {25, 90},
            .target_spacing = {30, 55},
            .blockers = 0.5,
            .traffic = 1.5,
            .stops = 0.04,
            .parked = 0.5,
            .walls = 0.35,
            .verges = false};
  }
  if (name == "obstacle-rich") {
    return {.name = "obstacle-rich",
            .straight = {30, 90},
            .junctions = 0.3,
            .curves = 0.5,
            .radius = {18, 60},
            .target_spacing = {45, 75},
            .blockers = 0.8,
            .traffic = 2.5,
            .stops = 0.06,
            .parked = 0.2,
            .walls = 0.15,
            .verges = true};
  }
  fail(ErrorKind::usage, "there is no world \"{}\": expected balanced or obstacle-rich", name);
}

}  // namespace bev::world
