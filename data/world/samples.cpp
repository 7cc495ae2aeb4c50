#include "data/world/samples.h"

#include <algorithm>
#include <array>

#include "data/world/random.h"
#include "data/world/raster.h"
#include "data/world/tokens.h"

namespace bev::world {

namespace {

constexpr double standing = 0.05;  // m/s

void append_state(const Moment& then, const Pose& now, std::vector<float>& out) {
  std::array<double, commands> command = {};
  command[static_cast<size_t>(then.command)] = 1;
  const Point target = now.local(then.target), place = now.local(then.ego.point());
  for (const double value :
       {then.speed, then.ego.heading - now.heading, throttle(then.acceleration), brake(then.acceleration)}) {
    out.push_back(static_cast<float>(value));
  }
  for (const double value : command) out.push_back(static_cast<float>(value));
  for (const double value : {target.x, target.y, place.x, place.y}) out.push_back(static_cast<float>(value));
}

}  // namespace

RouteSamples make_samples(const Drive& drive, const RecordingSettings& recording) {
  const std::vector<Moment>& moments = drive.moments;
  const int count = static_cast<int>(moments.size());
  RouteSamples result{.route = drive.route.number, .raster_side = recording.raster, .rasters = {}, .samples = {}};
  Random thinning(drive.route.seed, drive.route.number, Purpose::thinning);
  std::vector<int> raster_of(moments.size(), -1);
  for (int now = recording.history - 1; now + recording.horizon < count; ++now) {
    const auto first = moments.begin() + (now - recording.history + 1), present = moments.begin() + now,
               last = present + recording.horizon;
    const bool kept = thinning.chance(0.25);
    if (!kept && std::all_of(first, last + 1, [](const Moment& moment) { return moment.speed < standing; })) continue;
    Sample sample{.ego_status = {}, .agent_pos = {}, .vl = {}, .reasoning = {}, .frames = {}, .moment = now};
    for (auto then = first; then <= present; ++then) {
      append_state(*then, present->ego, sample.ego_status);
      const auto moment = static_cast<size_t>(then - moments.begin());
      if (raster_of[moment] < 0) {
        raster_of[moment] = static_cast<int>(result.rasters.size());
        std::vector<uint8_t>& raster = result.rasters.emplace_back(3 * recording.raster * recording.raster);
        render(drive, static_cast<int>(moment), recording.raster, recording.metres, raster.data());
      }
      sample.frames.push_back(raster_of[moment]);
    }
    for (auto then = present + 1; then <= last; ++then) {
      const Point place = present->ego.local(then->ego.point());
      sample.agent_pos.push_back(static_cast<float>(place.x));
      sample.agent_pos.push_back(static_cast<float>(place.y));
    }
    Tokens tokens = make_tokens(drive, now);
    sample.vl = std::move(tokens.vl);
    sample.reasoning = std::move(tokens.reasoning);
    result.samples.push_back(std::move(sample));
  }
  return result;
}

}  // namespace bev::world
