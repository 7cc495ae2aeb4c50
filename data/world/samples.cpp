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

std::vector<Sample> make_samples(const Drive& drive, const RecordingSettings& recording) {
  const std::vector<Moment>& moments = drive.moments;
  const int count = static_cast<int>(moments.size());
  std::vector<Sample> samples;
  Random thinning(drive.route.seed, drive.route.number, Purpose::thinning);
  for (int now = recording.history - 1; now + recording.horizon < count; ++now) {
    const auto present = moments.begin() + now, first = present - recording.history + 1,
               last = present + recording.horizon;
    const bool kept = thinning.chance(0.25);
    if (!kept && std::all_of(first, last + 1, [](const Moment& moment) { return moment.speed < standing; })) continue;
    Sample sample{.ego_status = {}, .agent_pos = {}, .vl = {}, .reasoning = {}, .moment = now};
    for (auto then = first; then <= present; ++then) append_state(*then, present->ego, sample.ego_status);
    for (auto then = present + 1; then <= last; ++then) {
      const Point place = present->ego.local(then->ego.point());
      sample.agent_pos.push_back(static_cast<float>(place.x));
      sample.agent_pos.push_back(static_cast<float>(place.y));
    }
    Tokens tokens = make_tokens(drive, now);
    sample.vl = std::move(tokens.vl);
    sample.reasoning = std::move(tokens.reasoning);
    samples.push_back(std::move(sample));
  }
  return samples;
}

std::vector<std::vector<uint8_t>> make_rasters(const Drive& drive, const std::vector<Sample>& samples,
                                               const RecordingSettings& recording) {
  std::vector<std::vector<uint8_t>> rasters(drive.moments.size());
  for (const Sample& sample : samples) {
    for (int moment = sample.moment - recording.history + 1; moment <= sample.moment; ++moment) {
      std::vector<uint8_t>& raster = rasters[static_cast<size_t>(moment)];
      if (!raster.empty()) continue;
      raster.resize(static_cast<size_t>(3 * recording.raster * recording.raster));
      render(drive, moment, recording.raster, recording.metres, raster.data());
    }
  }
  return rasters;
}

}  // namespace bev::world
