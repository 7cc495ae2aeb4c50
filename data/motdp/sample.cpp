#include "data/motdp/sample.h"

#include <algorithm>

#include "data/motdp/numpy_array.h"

namespace bev::motdp {

namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view raster_folder = "/lidar_bev/", token_folder = "/lidar_bev_features/", raster_suffix = ".png";

const PickleValue& at(const PickleValue& dict, const char* key, const std::string& where) {
  const PickleValue* const value = dict.find(key);
  if (!value) fail(ErrorKind::data, "{}: has no \"{}\"", where, key);
  return *value;
}

/// An array of `rank` dimensions whose last has `columns` elements (0: any number).
NumpyArray array_at(const PickleValue& dict, const char* key, int rank, int64_t columns, const std::string& where) {
  NumpyArray array = read_numpy(at(dict, key, where), fmt::format("{}: \"{}\"", where, key));
  if (array.shape.rank() != rank || array.values.empty() || (columns > 0 && array.shape[-1] != columns)) {
    fail(ErrorKind::data, "{}: \"{}\" is {}, expected {} dimension{}{}", where, key, array.shape.text(), rank,
         rank == 1 ? "" : "s", columns > 0 ? fmt::format(", the last of {}", columns) : "");
  }
  return array;
}

/// A path that stays under the folder it is relative to.
std::string path_of(const PickleValue& value, const char* key, const std::string& where) {
  const std::string path(value.kind == Kind::text ? value.text : "");
  if (path.empty() || path[0] == '/' || ("/" + path + "/").find("/../") != std::string::npos ||
      path.find('\0') != std::string::npos) {
    fail(ErrorKind::data, "{}: \"{}\" must name files below the image root, found {} \"{}\"", where, key,
         name_of(value.kind), path.substr(0, 200));
  }
  return path;
}

void read_states(const PickleValue& dict, const std::string& where, Sample& sample) {
  struct Part {
    const char* key;
    int64_t columns;
  };
  constexpr Part parts[] = {{"speed_hist", 1},   {"theta_hist", 1},        {"throttle_hist", 1}, {"brake_hist", 1},
                            {"command_hist", 6}, {"target_point_hist", 2}, {"waypoints_hist", 2}};
  std::vector<NumpyArray> arrays;
  for (const Part& part : parts) {
    arrays.push_back(part.columns == 1 ? array_at(dict, part.key, 1, 0, where)
                                       : array_at(dict, part.key, 2, part.columns, where));
    if (arrays.back().shape[0] != arrays[0].shape[0]) {
      fail(ErrorKind::data, "{}: \"{}\" has {} steps, but \"{}\" has {}", where, part.key, arrays.back().shape[0],
           parts[0].key, arrays[0].shape[0]);
    }
  }
  sample.steps = arrays[0].shape[0];
  for (int64_t step = 0; step < sample.steps; ++step) {
    for (size_t i = 0; i < arrays.size(); ++i) {
      const auto first = arrays[i].values.begin() + step * parts[i].columns;
      sample.ego_status.insert(sample.ego_status.end(), first, first + parts[i].columns);
    }
  }
  sample.state_size = static_cast<int64_t>(sample.ego_status.size()) / sample.steps;
}

void read_frames(const PickleValue& dict, const std::string& where, Sample& sample) {
  const PickleValue& list = at(dict, "lidar_bev_hist", where);
  if (list.kind != Kind::list || static_cast<int64_t>(list.items.size()) != sample.steps) {
    fail(ErrorKind::data, "{}: \"lidar_bev_hist\" must be a list of {} paths, found {} of {}", where, sample.steps,
         name_of(list.kind), list.items.size());
  }
  for (const PickleValue* item : list.items) {
    const std::string path = path_of(*item, "lidar_bev_hist", where);
    const size_t folder = path.rfind(raster_folder);
    if (folder == std::string::npos || !path.ends_with(raster_suffix)) {
      fail(ErrorKind::data, "{}: \"lidar_bev_hist\" has \"{}\", expected ROUTE/lidar_bev/NAME.png", where, path);
    }
    sample.rasters.push_back(path);
    const std::string route = path.substr(0, folder);
    if (sample.route.empty()) sample.route = route;
    if (route != sample.route) {
      fail(ErrorKind::data, "{}: has frames of two routes, {} and {}", where, sample.route, route);
    }
  }
}

}  // namespace

Sample read_sample(std::span<const std::byte> bytes, const std::string& where) {
  const Pickle pickle(bytes, where, numpy_globals());
  const PickleValue& dict = pickle.root();
  if (dict.kind != Kind::dict) fail(ErrorKind::data, "{}: holds {}, expected a dict", where, name_of(dict.kind));
  Sample sample;
  read_states(dict, where, sample);
  const NumpyArray waypoints = array_at(dict, "ego_waypoints", 2, 2, where);
  sample.horizon = waypoints.shape[0] - 1;
  if (sample.horizon < 1) fail(ErrorKind::data, "{}: \"ego_waypoints\" holds the present only", where);
  sample.agent_pos.assign(waypoints.values.begin() + 2, waypoints.values.end());
  read_frames(dict, where, sample);
  if (const PickleValue* const vqa = dict.find("vqa")) sample.vqa = path_of(*vqa, "vqa", where);
  return sample;
}

std::string token_path(const std::string& raster) {
  std::string path = raster.substr(0, raster.size() - raster_suffix.size()) + "_token.pt";
  return path.replace(path.rfind(raster_folder), raster_folder.size(), token_folder);
}

}  // namespace bev::motdp
