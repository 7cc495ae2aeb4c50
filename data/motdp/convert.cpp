#include "data/motdp/convert.h"

#include <algorithm>
#include <filesystem>
#include <mutex>

#include "data/dataset_writer.h"
#include "data/motdp/frame_files.h"
#include "data/parallel.h"
#include "runtime/file/atomic_file.h"
#include "runtime/file/mapped_file.h"
#include "runtime/file/safetensors.h"

namespace bev::motdp {

namespace {

namespace fs = std::filesystem;

constexpr const char* digest_key = "plan";

Tensor read_frame(const ConvertOptions& options, const std::string& frame) {
  const std::string path = options.images + "/" + frame;
  return options.mode == Mode::raster ? read_raster(path) : read_bev_tokens(path);
}

std::string_view frame_field(Mode mode) { return mode == Mode::raster ? "lidar_bev" : "lidar_token"; }

/// The first sample's files say how large all are.
DatasetInfo fields_of(const ConvertOptions& options, const SplitPlan& split) {
  const PlannedSample& first = split.samples[0];
  const Sample& sample = first.sample;
  DatasetInfo info;
  info.sample_fields = {{"ego_status", DType::f32, {sample.steps, sample.state_size}},
                        {"agent_pos", DType::f32, {sample.horizon, 2}},
                        {"frames", DType::i64, {sample.steps}},
                        {"route", DType::i64, {}}};
  if (options.vl) {
    const VlTokens vl = read_vl_tokens(options.images + "/" + sample.vqa, options.reasoning_rows);
    info.sample_fields.push_back({"gen_vit_tokens", DType::bf16, vl.tokens.shape()});
    info.sample_fields.push_back({"reasoning_query_tokens", DType::bf16, {options.reasoning_rows, vl.width}});
  }
  const Tensor frame = read_frame(options, split.frames[0]);
  info.frame_fields = {{std::string(frame_field(options.mode)), frame.dtype(), frame.shape()}};
  info.provenance = {{"converted from", options.data},
                     {"images", options.images},
                     {"split", options.split == Split::given ? "as the tree has it"
                                                             : fmt::format("by route, val fraction {}, seed {}",
                                                                           options.val_fraction, options.seed)},
                     {digest_key, split.digest}};
  return info;
}

/// A shard to be made: rows first .. first + rows - 1 of a table of a split.
struct Job {
  size_t split;
  Table table;
  std::string file;
  int64_t first, rows;
  ShardInfo result = {};
};

class Conversion {
 public:
  Conversion(const ConvertOptions& options, const Plan& plan, const ProgressCallback& progress)
      : options_(options), plan_(plan), progress_(progress) {
    for (const SplitPlan& split : plan.splits) infos_.push_back(fields_of(options, split));
    for (size_t i = 0; i < plan.splits.size(); ++i) {
      add_jobs(i, Table::samples, static_cast<int64_t>(plan.splits[i].samples.size()));
      add_jobs(i, Table::frames, static_cast<int64_t>(plan.splits[i].frames.size()));
    }
  }

  void run(ConvertReport& report) {
    std::vector<size_t> left;
    for (size_t i = 0; i < jobs_.size(); ++i) {
      if (keep(jobs_[i])) {
        ++report.shards_kept;
      } else {
        left.push_back(i);
      }
    }
    report.shards_written = static_cast<int64_t>(left.size());
    check_space(left);
    for (const size_t i : left) total_rows_ += jobs_[i].rows;
    parallel_for(static_cast<int64_t>(left.size()), options_.threads,
                 [&](int64_t i) { make(jobs_[left[static_cast<size_t>(i)]]); });
    for (const Job& job : jobs_) infos_[job.split].shards.push_back(job.result);
    for (size_t i = 0; i < infos_.size(); ++i) finish(i);
  }

 private:
  std::string directory(size_t split) const { return options_.out + "/" + plan_.splits[split].name; }

  void add_jobs(size_t split, Table table, int64_t rows) {
    const int64_t most = rows_a_shard(infos_[split].fields_of(table), options_.shard_bytes);
    for (int64_t first = 0, i = 0; first < rows; first += most, ++i) {
      jobs_.push_back({split, table, shard_name(table, i), first, std::min(most, rows - first)});
    }
  }

  /// Whether an earlier run of the same plan has made this shard.
  bool keep(Job& job) const {
    const std::string path = directory(job.split) + "/" + job.file;
    if (!fs::exists(path)) return false;
    try {
      const SafetensorsFile file = SafetensorsFile::open(path);
      const auto it = file.metadata().find(digest_key);
      if (it == file.metadata().end() || it->second != plan_.splits[job.split].digest) return false;
    } catch (const Error&) {
      return false;  // made again
    }
    job.result = examine_shard(job.table, directory(job.split), job.file, job.rows);
    return true;
  }

  void check_space(const std::vector<size_t>& left) const {
    uint64_t needed = 0;
    for (const size_t i : left) {
      const Job& job = jobs_[i];
      needed += static_cast<uint64_t>(job.rows) * ShardBuffer::row_bytes(infos_[job.split].fields_of(job.table));
    }
    std::error_code error;
    const fs::space_info space = fs::space(options_.out, error);
    if (!error && space.available < needed) {
      fail(ErrorKind::runtime, "{}: {:.1f} GB are needed, but the disk has {:.1f} GB left", options_.out,
           static_cast<double>(needed) / 1e9, static_cast<double>(space.available) / 1e9);
    }
  }

  void make(Job& job) {
    ShardBuffer buffer(job.table, infos_[job.split].fields_of(job.table), job.rows);
    for (int64_t row = job.first; row < job.first + job.rows; ++row) {
      if (job.table == Table::frames) {
        add_frame(buffer, plan_.splits[job.split], row);
      } else {
        add_sample(buffer, plan_.splits[job.split], row);
      }
      const std::scoped_lock lock(mutex_);
      if (progress_) progress_(++done_rows_, total_rows_);
    }
    job.result = buffer.write(directory(job.split), job.file, {{digest_key, plan_.splits[job.split].digest}});
  }

  /// Adds a row; an error says which file the row came from.
  static void add(ShardBuffer& buffer, std::span<const FieldView> fields, int64_t row, const std::string& source) {
    try {
      buffer.add(fields, row);
    } catch (const Error& error) {
      fail(error.kind(), "{}: {}", source, error.what());
    }
  }

  void add_frame(ShardBuffer& buffer, const SplitPlan& split, int64_t row) const {
    const std::string& path = split.frames[static_cast<size_t>(row)];
    const Tensor frame = read_frame(options_, path);
    const FieldView field{frame_field(options_.mode), frame.dtype(), frame.raw(), frame.size()};
    add(buffer, {&field, 1}, row, options_.images + "/" + path);
  }

  void add_sample(ShardBuffer& buffer, const SplitPlan& split, int64_t row) const {
    const PlannedSample& planned = split.samples[static_cast<size_t>(row)];
    std::vector<FieldView> fields = {
        FieldView::of("ego_status", planned.sample.ego_status), FieldView::of("agent_pos", planned.sample.agent_pos),
        FieldView::of("frames", planned.frames), FieldView::of("route", std::span(&planned.route, 1))};
    std::string source = options_.data + "/" + planned.source;
    VlTokens vl;
    if (options_.vl) {
      const std::string path = options_.images + "/" + planned.sample.vqa;
      vl = read_vl_tokens(path, options_.reasoning_rows);
      fields.push_back({"gen_vit_tokens", vl.tokens.dtype(), vl.tokens.raw(), vl.tokens.size()});
      fields.push_back(FieldView::of("reasoning_query_tokens", vl.reasoning));
      source += fmt::format(" with {}", path);
    }
    add(buffer, fields, row, source);
  }

  void finish(size_t split) {
    std::string sources;
    for (const PlannedSample& sample : plan_.splits[split].samples) sources += sample.source + "\n";
    write_text_file(directory(split) + "/sources.txt", sources);
    finish_dataset(directory(split), infos_[split]);
  }

  const ConvertOptions& options_;
  const Plan& plan_;
  const ProgressCallback& progress_;
  std::vector<DatasetInfo> infos_;  // of each split
  std::vector<Job> jobs_;
  std::mutex mutex_;
  int64_t done_rows_ = 0, total_rows_ = 0;
};

/// Creates the directories. One that holds a data set already is only touched if it is of this very plan: a run that
/// was interrupted between the two splits, or one more of a finished conversion.
void claim_directories(const ConvertOptions& options, const Plan& plan) {
  for (const char* name : {"train", "val"}) {
    const std::string directory = options.out + "/" + name, path = directory + "/dataset.json";
    const auto split = std::find_if(plan.splits.begin(), plan.splits.end(),
                                    [&](const SplitPlan& candidate) { return candidate.name == name; });
    if (fs::exists(path)) {
      const MappedFile text = MappedFile::open(path);
      const DatasetInfo info =
          dataset_info_from_json({reinterpret_cast<const char*>(text.memory.get()), text.size}, path);
      const auto digest = info.provenance.find(digest_key);
      if (split == plan.splits.end() || digest == info.provenance.end() || digest->second != split->digest) {
        fail(ErrorKind::usage, "{}: already holds another data set: remove it or choose another --out", directory);
      }
    } else if (split != plan.splits.end()) {
      prepare_directory(directory);
    }
  }
}

}  // namespace

ConvertReport convert(const ConvertOptions& options, const ProgressCallback& reading, const ProgressCallback& writing) {
  ConvertReport report;
  report.plan = make_plan(options, reading);
  claim_directories(options, report.plan);
  Conversion(options, report.plan, writing).run(report);
  std::string routes;
  for (const std::string& route : report.plan.routes) routes += route + "\n";
  write_text_file(options.out + "/routes.txt", routes);
  return report;
}

}  // namespace bev::motdp
