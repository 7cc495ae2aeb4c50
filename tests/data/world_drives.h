// A few drives of either world for the tests to look at, made once.
#pragma once

#include <vector>

#include "data/world/drive.h"

namespace bev::test {

/// 24 routes of 45 s of "balanced" (0) and of "obstacle-rich" (1).
inline const std::vector<world::Drive>& drives(int which) {
  const auto make = [](const char* name) {
    std::vector<world::Drive> made;
    for (uint32_t route = 0; route < 24; ++route) {
      made.push_back(world::drive_route(world::world_settings(name), 11, route, 45));
    }
    return made;
  };
  static const std::vector<world::Drive> balanced = make("balanced"), rich = make("obstacle-rich");
  return which == 0 ? balanced : rich;
}

template <class Body>
void for_all_drives(Body&& body) {
  for (const int which : {0, 1}) {
    for (const world::Drive& drive : drives(which)) body(drive);
  }
}

}  // namespace bev::test
