#include "data/world/sample_picture.h"

#include <fmt/format.h>

#include <array>

#include "data/scene_picture.h"

namespace bev::world {

namespace {

constexpr std::array command_names = {"turn left", "turn right", "go straight", "follow the road"};
constexpr std::array light_names = {"green", "yellow", "red"};

}  // namespace

Picture sample_picture(const Drive& drive, const Sample& sample, const uint8_t* raster, int side, double metres) {
  const Moment& now = drive.moments[static_cast<size_t>(sample.moment)];
  DrawnTrajectory truth{.name = "expert", .points = {}, .colour = colours::green},
      constant{.name = "constant velocity", .points = {}, .colour = colours::orange};
  for (size_t i = 0; i + 1 < sample.agent_pos.size(); i += 2) {
    truth.points.push_back({sample.agent_pos[i], sample.agent_pos[i + 1]});
    constant.points.push_back({now.speed * frame_seconds * static_cast<double>(constant.points.size() + 1), 0});
  }
  const std::string signal =
      now.signal ? fmt::format("{} light, junction in {:.0f} m", light_names[static_cast<size_t>(now.signal->light)],
                               now.signal->distance)
                 : "no signal ahead";
  const SceneOptions options{
      .metres = metres,
      .captions = {fmt::format("route {}, {:.1f} s: {:.1f} m/s, limit {:.0f} m/s, {}", drive.route.number, now.time,
                               now.speed, now.limit, command_names[static_cast<size_t>(now.command)]),
                   fmt::format("{}{}", signal, now.leader_brakes ? "; brake lights ahead" : "")}};
  const std::array trajectories = {constant, truth};
  return scene_picture(raster, side, trajectories, options);
}

}  // namespace bev::world
