#include "data/motdp/plan.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "data/parallel.h"
#include "runtime/file/checksum.h"
#include "runtime/file/mapped_file.h"

namespace bev::motdp {

namespace {

namespace fs = std::filesystem;

/// FNV-1a, 64 bits: names a plan, and draws routes by their names.
class Hash {
 public:
  Hash& add(std::string_view text) {
    for (const char c : text) value_ = (value_ ^ static_cast<uint8_t>(c)) * 0x100000001B3ull;
    value_ = (value_ ^ 0xFF) * 0x100000001B3ull;  // a byte that no text has: "ab", "c" is not "a", "bc"
    return *this;
  }
  Hash& add(uint64_t number) { return add(std::to_string(number)); }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xCBF29CE484222325ull;
};

struct Source {
  std::string path;  // "train/x.pkl"
  Sample sample;
  uint32_t crc32 = 0;
  std::string problem;  // empty: usable
};

std::vector<Source> list_sources(const std::string& root) {
  std::vector<Source> sources;
  for (const char* split : {"train", "val"}) {
    std::error_code error;
    for (fs::directory_iterator it(root + "/" + split, error), end; !error && it != end; it.increment(error)) {
      if (it->path().extension() != ".pkl") continue;
      Source& source = sources.emplace_back();
      source.path = fmt::format("{}/{}", split, it->path().filename().string());
    }
  }
  if (sources.empty()) {
    fail(ErrorKind::usage,
         "{}: holds no train/*.pkl or val/*.pkl: expected the folder that training.dataset_path names", root);
  }
  std::sort(sources.begin(), sources.end(), [](const Source& a, const Source& b) { return a.path < b.path; });
  return sources;
}

void read_source(const ConvertOptions& options, Source& source) {
  const std::string path = options.data + "/" + source.path;
  const MappedFile file = MappedFile::open(path);
  source.crc32 = crc32_of(file.bytes());
  Sample& sample = source.sample;
  sample = read_sample(file.bytes(), path);
  if (options.horizon > 0) {
    if (sample.horizon < options.horizon) {
      fail(ErrorKind::data, "{}: has {} future waypoints, expected at least {}", path, sample.horizon, options.horizon);
    }
    sample.horizon = options.horizon;
    sample.agent_pos.resize(static_cast<size_t>(options.horizon * 2));
  }
  if (options.vl && sample.vqa.empty()) {
    fail(ErrorKind::data, "{}: has no \"vqa\"; --without-vl converts without vision-language tokens", path);
  }
  if (!options.vl) sample.vqa.clear();
  if (options.mode == Mode::tokens) {
    for (std::string& frame : sample.rasters) frame = token_path(frame);
  }
}

/// Throws unless the sample has the sizes of the first.
void check_sizes(const ConvertOptions& options, const Source& source, const Source& first) {
  const Sample &a = source.sample, &b = first.sample;
  if (a.steps == b.steps && a.horizon == b.horizon && a.state_size == b.state_size) return;
  fail(ErrorKind::data, "{}/{}: has {} observed steps and {} future waypoints, but {} has {} and {}", options.data,
       source.path, a.steps, a.horizon, first.path, b.steps, b.horizon);
}

/// Runs `check`; a problem is kept if bad samples are skipped.
template <class Check>
void guarded(const ConvertOptions& options, Source& source, Check&& check) {
  if (!source.problem.empty()) return;
  try {
    check();
  } catch (const Error& error) {
    if (!options.skip_bad || error.kind() != ErrorKind::data) throw;
    source.problem = error.what();
  }
}

/// Sizes of the files that samples point to, each looked at once.
class FileSizes {
 public:
  explicit FileSizes(std::string root) : root_(std::move(root)) {}
  uint64_t of(const std::string& path, const std::string& wanted_by) {
    const auto [it, added] = sizes_.try_emplace(path, 0);
    if (added) {
      std::error_code error;
      const uint64_t size = fs::file_size(root_ + "/" + path, error);
      it->second = error ? missing : size;
    }
    if (it->second == missing) {
      fail(ErrorKind::data, "{}/{}: cannot be found; {} needs it", root_, path, wanted_by);
    }
    return it->second;
  }

 private:
  static constexpr uint64_t missing = ~uint64_t{0};
  std::string root_;
  std::map<std::string, uint64_t> sizes_;
};

/// The routes that validation gets.
std::set<std::string> draw_routes(const ConvertOptions& options, const std::vector<std::string>& routes) {
  if (!(options.val_fraction >= 0 && options.val_fraction < 1)) {
    fail(ErrorKind::usage, "--val-fraction {}: expected a number from 0 to below 1", options.val_fraction);
  }
  if (options.val_fraction == 0) return {};
  if (routes.size() < 2) {
    fail(ErrorKind::usage,
         "{}: all samples are of one route, which cannot be split: give --val-fraction 0 or --split given",
         options.data);
  }
  std::vector<std::pair<uint64_t, std::string>> order;  // a route keeps its rank among those that others join
  for (const std::string& route : routes) order.emplace_back(Hash().add(options.seed).add(route).value(), route);
  std::sort(order.begin(), order.end());
  const double wanted = std::round(options.val_fraction * static_cast<double>(routes.size()));
  const size_t count = std::clamp<size_t>(static_cast<size_t>(wanted), 1, routes.size() - 1);
  std::set<std::string> drawn;
  for (size_t i = 0; i < count; ++i) drawn.insert(order[i].second);
  return drawn;
}

SplitPlan plan_split(const ConvertOptions& options, std::string name, std::vector<Source*> sources,
                     const std::vector<std::string>& routes, FileSizes& sizes) {
  // Neighbours share frames: in this order what a shard of samples needs lies close together.
  std::sort(sources.begin(), sources.end(), [](const Source* a, const Source* b) {
    return std::tie(a->sample.route, a->sample.rasters.back(), a->path) <
           std::tie(b->sample.route, b->sample.rasters.back(), b->path);
  });
  SplitPlan plan{.name = std::move(name), .samples = {}, .frames = {}, .digest = {}};
  Hash hash;
  hash.add(static_cast<uint64_t>(options.mode)).add(options.shard_bytes);
  hash.add(static_cast<uint64_t>(options.reasoning_rows)).add(options.vl ? 1 : 0);
  std::map<std::string, int64_t> numbers;
  for (Source* source : sources) {
    PlannedSample planned{.source = source->path, .sample = std::move(source->sample), .frames = {}, .route = 0};
    planned.route = std::lower_bound(routes.begin(), routes.end(), planned.sample.route) - routes.begin();
    hash.add(planned.source).add(source->crc32).add(static_cast<uint64_t>(planned.route));
    hash.add(static_cast<uint64_t>(planned.sample.horizon));
    if (!planned.sample.vqa.empty()) hash.add(sizes.of(planned.sample.vqa, planned.source));
    for (const std::string& frame : planned.sample.rasters) {
      const auto [it, added] = numbers.try_emplace(frame, static_cast<int64_t>(plan.frames.size()));
      if (added) {
        plan.frames.push_back(frame);
        hash.add(frame).add(sizes.of(frame, planned.source));
      }
      planned.frames.push_back(it->second);
    }
    planned.sample.rasters.clear();  // the frame table has them
    plan.samples.push_back(std::move(planned));
  }
  plan.digest = fmt::format("{:016x}", hash.value());
  return plan;
}

}  // namespace

Plan make_plan(const ConvertOptions& options, const ProgressCallback& progress) {
  std::vector<Source> sources = list_sources(options.data);
  std::mutex mutex;
  int64_t done = 0;
  parallel_for(static_cast<int64_t>(sources.size()), options.threads, [&](int64_t i) {
    Source& source = sources[static_cast<size_t>(i)];
    guarded(options, source, [&] { read_source(options, source); });
    const std::scoped_lock lock(mutex);
    if (progress) progress(++done, static_cast<int64_t>(sources.size()));
  });

  Plan plan;
  FileSizes sizes(options.images);
  const Source* first = nullptr;
  for (Source& source : sources) {
    guarded(options, source, [&] {
      if (first) check_sizes(options, source, *first);
      for (const std::string& frame : source.sample.rasters) sizes.of(frame, source.path);
      if (!source.sample.vqa.empty()) sizes.of(source.sample.vqa, source.path);
    });
    if (!first && source.problem.empty()) first = &source;
    if (!source.problem.empty()) plan.skipped.push_back(source.problem);
  }
  if (!first) fail(ErrorKind::data, "{}: no sample is usable; the first: {}", options.data, plan.skipped[0]);

  std::set<std::string> routes, routes_of[2];
  for (const Source& source : sources) {
    if (source.problem.empty()) routes.insert(source.sample.route);
  }
  plan.routes.assign(routes.begin(), routes.end());
  const std::set<std::string> drawn =
      options.split == Split::route ? draw_routes(options, plan.routes) : std::set<std::string>();
  std::vector<Source*> parts[2];  // train, val
  for (Source& source : sources) {
    if (!source.problem.empty()) continue;
    const bool val =
        options.split == Split::given ? source.path.starts_with("val/") : drawn.contains(source.sample.route);
    parts[val].push_back(&source);
    routes_of[val].insert(source.sample.route);
  }
  for (const std::string& route : routes_of[1]) plan.shared_routes += routes_of[0].contains(route);
  for (const int val : {0, 1}) {
    if (parts[val].empty()) continue;
    plan.splits.push_back(plan_split(options, val ? "val" : "train", parts[val], plan.routes, sizes));
  }
  return plan;
}

}  // namespace bev::motdp
