#include "runtime/train/checkpoint.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/file/atomic_file.h"
#include "runtime/file/checksum.h"
#include "runtime/file/json.h"
#include "runtime/file/mapped_file.h"
#include "runtime/train/checkpoint_files.h"
#include "runtime/transfer.h"

namespace bev {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int format_version = 1;
constexpr const char* state_file = "state.json";
const std::map<std::string, std::string> metadata = {{"format", "pt"}};  // as others mark tensors of PyTorch's layout
constexpr std::array<const char*, 3> tensor_files = {"model.safetensors", "ema.safetensors", "optimizer.safetensors"};

UpdateState read_update_state(const TrainedModel& model) {
  const Tensor bytes = to_host(model.device, model.context.stream, model.optimizer.update_bytes());
  UpdateState out;
  std::memcpy(&out, bytes.raw(), sizeof out);
  return out;
}

struct Moment {
  Optimizer::Kind kind;
  const char *prefix, *other;
};
constexpr std::array<Moment, 2> moments = {Moment{Optimizer::Kind::first_moment, "first.", "second."},
                                           Moment{Optimizer::Kind::second_moment, "second.", "first."}};

ordered_json file_record(const std::string& path) {
  const FileChecksum sum = checksum_of_file(path);
  return {{"bytes", sum.bytes}, {"crc32", fmt::format("{:08x}", sum.crc32)}};
}

/// The value of a key, checked to be of the type that is asked for.
template <class T>
T get(const json& object, const char* key, const std::string& where) {
  const auto it = object.find(key);
  if (it == object.end()) fail(ErrorKind::data, "{}: {} is missing", where, key);
  try {
    return it->get<T>();
  } catch (const json::exception&) {
    fail(ErrorKind::data, "{}: {} has the value {}", where, key, brief(*it));
  }
}

/// The text with the CRC-32 of itself in place of the eight zeros behind its key.
std::string sealed(std::string text) {
  constexpr std::string_view key = "\"checksum\": \"", zeros = "00000000";
  const size_t place = text.rfind(key);
  if (place == std::string::npos || text.size() < place + key.size() + zeros.size()) return {};
  text.replace(place + key.size(), zeros.size(), zeros);
  return text.replace(place + key.size(), zeros.size(),
                      fmt::format("{:08x}", crc32_of(std::as_bytes(std::span(text)))));
}

json read_state_json(const std::string& checkpoint) {
  const std::string path = checkpoint + "/" + state_file;
  const MappedFile file = MappedFile::open(path);
  const std::string text(reinterpret_cast<const char*>(file.memory.get()), file.size);
  if (sealed(text) != text) fail(ErrorKind::data, "{}: damaged: its checksum is not the one it was written with", path);
  const json state = parse_json(text, path);
  if (!state.is_object() || get<int64_t>(state, "format", path) != format_version) {
    fail(ErrorKind::data, "{}: not a checkpoint's state of format {}", path, format_version);
  }
  return state;
}

}  // namespace

CheckpointFolder::CheckpointFolder(std::string path, int64_t keep, FileNames names)
    : path_(std::move(path)), keep_(keep), names_(std::move(names)) {
  if (keep < 1) fail(ErrorKind::usage, "training.keep_checkpoints is {}: at least 1 must stay", keep);
  make_directory(path_);
}

std::string CheckpointFolder::write(const TrainedModel& model, const TrainingState& state, bool is_best) {
  const std::string name = checkpoint_name(state.step);
  PartialDirectory partial(path_, name);
  const auto file = [&](const char* in_checkpoint) { return partial.path() + "/" + in_checkpoint; };
  const auto write_all = [&](const char* to, const Tensor& trained) {
    write_safetensors(file(to), filed(model.device, model.context.stream, views_of_all(model.store, trained), names_),
                      metadata);
  };
  write_all(tensor_files[0], model.store.trained_values());
  write_all(tensor_files[1], model.optimizer.whole(Optimizer::Kind::average));
  std::vector<NamedTensor> both;
  for (const Moment& moment : moments) {
    const auto views = views_of_trained(model.store, model.optimizer.whole(moment.kind), moment.prefix);
    // Sharded, the second moment is about to take the place of the first.
    for (auto& tensor : filed(model.device, model.context.stream, views, {}, model.optimizer.sharded())) {
      both.push_back(std::move(tensor));
    }
  }
  model.optimizer.end_whole();
  write_safetensors(file(tensor_files[2]), both, metadata);
  both.clear();

  const UpdateState update = read_update_state(model);
  ordered_json out{{"format", format_version},
                   {"step", state.step},
                   {"epoch", state.epoch()},
                   {"steps_an_epoch", state.steps_an_epoch},
                   {"global_batch", state.global_batch},
                   {"seed", state.seed},
                   {"updates", update.updates},
                   {"skipped", update.skipped},
                   {"best_metric", state.best_metric},
                   {"best_value", state.best_value},
                   {"best_step", state.best_step},
                   {"validations_without_best", state.validations_without_best},
                   {"configuration", state.configuration}};
  for (const char* name_of_file : tensor_files) out["files"][name_of_file] = file_record(file(name_of_file));
  out["checksum"] = "00000000";
  write_text_file(file(state_file), sealed(out.dump(1) + "\n"));
  partial.commit();

  point_link(path_, "last", name);
  if (is_best) point_link(path_, "best", name);
  prune();
  return path_ + "/" + name;
}

void join_checkpoint(Optimizer& optimizer) {
  if (!optimizer.sharded()) return;
  optimizer.whole(Optimizer::Kind::average);
  for (const Moment& moment : moments) optimizer.whole(moment.kind);
  optimizer.end_whole();
}

TrainingState read_training_state(const std::string& checkpoint) {
  const json state = read_state_json(checkpoint);
  const std::string where = checkpoint + "/" + state_file;
  TrainingState out;
  out.step = get<int64_t>(state, "step", where);
  out.steps_an_epoch = get<int64_t>(state, "steps_an_epoch", where);
  out.global_batch = get<int64_t>(state, "global_batch", where);
  out.seed = get<uint64_t>(state, "seed", where);
  out.best_metric = get<std::string>(state, "best_metric", where);
  if (state.contains("best_value") && !state["best_value"].is_null()) {
    out.best_value = get<double>(state, "best_value", where);
  }
  out.best_step = get<int64_t>(state, "best_step", where);
  out.validations_without_best = get<int64_t>(state, "validations_without_best", where);
  out.configuration = get<std::string>(state, "configuration", where);
  return out;
}

void verify_checkpoint(const std::string& checkpoint) {
  const json state = read_state_json(checkpoint);
  const std::string where = checkpoint + "/" + state_file;
  const auto files = get<json>(state, "files", where);
  for (const char* name : tensor_files) {
    const auto record = get<json>(files, name, where);
    const std::string path = checkpoint + "/" + name;
    const FileChecksum sum = checksum_of_file(path);
    if (const auto bytes = get<uint64_t>(record, "bytes", where); sum.bytes != bytes) {
      fail(ErrorKind::data, "{}: has {} bytes, {} were written", path, sum.bytes, bytes);
    }
    if (fmt::format("{:08x}", sum.crc32) != get<std::string>(record, "crc32", where)) {
      fail(ErrorKind::data, "{}: damaged: its checksum is not the one it was written with", path);
    }
  }
}

std::string CheckpointFolder::newest_valid(const std::string& path, const Notes& notes) {
  std::vector<CheckpointEntry> entries = list_checkpoints(path);
  std::reverse(entries.begin(), entries.end());
  // First the one that was written last: after going back to an earlier step it is not the one of the highest step.
  const std::string last = link_target(path, "last");
  std::stable_partition(entries.begin(), entries.end(),
                        [&](const CheckpointEntry& entry) { return entry.name == last; });
  for (const CheckpointEntry& entry : entries) {
    const std::string checkpoint = path + "/" + entry.name;
    try {
      verify_checkpoint(checkpoint);
      return checkpoint;
    } catch (const Error& error) {
      notes(fmt::format("{} is passed over: {}", checkpoint, error.what()));
    }
  }
  return {};
}

void CheckpointFolder::prune() const {
  const std::string last = link_target(path_, "last"), best = link_target(path_, "best");
  std::vector<std::string> complete;  // what lacks its commit record counts for nothing, and is left to be looked at
  for (const CheckpointEntry& entry : list_checkpoints(path_)) {
    if (file_exists(path_ + "/" + entry.name + "/" + state_file)) complete.push_back(entry.name);
  }
  const auto kept = static_cast<size_t>(keep_);
  for (size_t i = 0; i + kept < complete.size(); ++i) {
    if (complete[i] != last && complete[i] != best) remove_checkpoint(path_, complete[i]);
  }
}

TrainingState load_checkpoint(const std::string& checkpoint, const TrainedModel& model, const FileNames& names) {
  verify_checkpoint(checkpoint);
  const TrainingState out = read_training_state(checkpoint);
  const auto open = [&](const char* file) { return SafetensorsFile::open(checkpoint + "/" + file); };
  const auto read = [&](const SafetensorsFile& file, const std::vector<ParameterView>& views, const FileNames& known) {
    read_views(file, model.device, model.context.stream, views, known, Numbers::same);
  };
  read(open(tensor_files[0]), views_of_all(model.store, model.store.trained_values()), names);
  const auto average = Optimizer::Kind::average;
  read(open(tensor_files[1]), views_of_all(model.store, model.optimizer.whole_to_fill(average)), names);
  model.optimizer.adopt_whole(average);
  const SafetensorsFile both = open(tensor_files[2]);
  for (const Moment& moment : moments) {
    const FileNames known{.aliases = {}, .parameter_of = [&](const std::string& name) {
                            return name.starts_with(moment.other) ? std::string() : name;
                          }};
    read(both, views_of_trained(model.store, model.optimizer.whole_to_fill(moment.kind), moment.prefix), known);
    model.optimizer.adopt_whole(moment.kind);
  }
  model.optimizer.end_whole();

  const json state = read_state_json(checkpoint);
  UpdateState update;
  update.updates = get<int64_t>(state, "updates", checkpoint);
  update.skipped = get<int64_t>(state, "skipped", checkpoint);
  write_to_device(model.device, model.context.stream, model.optimizer.update(), &update, sizeof update);
  model.optimizer.keep_statistics();
  return out;
}

}  // namespace bev
