// Checkpoints under everything that happens to files: damage, other models, a full disk, interrupted writing; and which
// of them stay.
#include "runtime/train/checkpoint.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>

#include "runtime/train/checkpoint_files.h"
#include "runtime/train/initialise.h"
#include "tests/support/cpu_context.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using test::contains;
using test::error_of;
using test::read_file;
using test::TemporaryFolder;
using test::write_file;

namespace {

/// A model with all that files distinguish: a filter, a matrix, statistics, a frozen parameter, a table of constants.
struct Model {
  test::CpuContext cpu;
  std::unique_ptr<Device> device = make_cpu_device();
  ParameterStore store;
  std::unique_ptr<Optimizer> optimizer;

  explicit Model(uint64_t seed, DType dtype = DType::f32, int64_t width = 40, const std::string& last = "head.weight")
      : cpu(dtype, size_t{64} << 20) {
    Parameter& filter = store.declare("conv.weight", {4, 3, 2, 5}, Init::normal(1), FileLayout::filter);
    Parameter& head = store.declare(last, {30, width}, Init::normal(1));
    store.declare("frozen", {3}, Init::normal(1));
    store.declare_buffer("bn.running_var", {4}, 1);
    store.declare_table("table", {1, 2, 3});
    store.allocate(*cpu.context.arena, dtype, {&head, &filter},
                   [](void* memory, size_t bytes) { std::memset(memory, 0, bytes); });
    initialise(store, *device, cpu.context.stream, seed);
    optimizer = std::make_unique<Optimizer>(store, cpu.context, *device, OptimizerConfig{});
    cpu.state.learning_rate = 0.01;
  }

  /// A few steps, so that moments, averages and counters are not trivial; the seventh gradient is not finite.
  void train(int steps) {
    for (int step = 0; step < steps; ++step) {
      visit_float(cpu.context.dtype, [&]<class T>(T) {
        for (Parameter* parameter : store.trained()) {
          for (int64_t i = 0; i < parameter->size(); ++i) {
            parameter->gradient.data<T>()[i] = static_cast<T>(step == 6 ? NAN : std::sin(i + 2 * step));
          }
        }
        store.find("bn.running_var")->value.data<T>()[1] += T(0.5);
      });
      optimizer->step();
    }
  }

  TrainedModel trained() { return {*device, cpu.context, store, *optimizer}; }
  std::string bytes() const {
    std::string out;
    for (const Tensor& span :
         {store.trained_values(), store.other_values(), optimizer->whole(Optimizer::Kind::first_moment),
          optimizer->whole(Optimizer::Kind::second_moment), optimizer->whole(Optimizer::Kind::average)}) {
      out.append(static_cast<const char*>(span.raw()), span.bytes());
    }
    return out;
  }
};

TrainingState state_of(int64_t step) {
  TrainingState state;
  state.step = step;
  state.steps_an_epoch = 10;
  state.global_batch = 8;
  state.seed = 0xFFFFFFFFFFFFFFF1;
  state.best_metric = "L2_avg";
  state.configuration = "training:\n  seed: \"1\"\n";
  return state;
}

const Notes no_notes = [](const std::string&) {};

/// Files that grow past `bytes` fail to be written while this lives, as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_ = {};
  void (*handler_)(int) = nullptr;
};

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) out.push_back(entry.path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("what is loaded is what was written, to the last bit, in either type") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const TemporaryFolder folder;
    Model a(1, dtype), b(2, dtype);
    a.train(9);
    TrainingState state = state_of(40);
    state.best_value = 0.1;
    state.best_step = 30;
    state.validations_without_best = 1;
    CheckpointFolder checkpoints(folder.file("run"), 2);
    const std::string path = checkpoints.write(a.trained(), state, false);
    CHECK(path == folder.file("run") + "/step_00000040");
    CHECK(names_in(path) ==
          std::vector<std::string>{"ema.safetensors", "model.safetensors", "optimizer.safetensors", "state.json"});
    CHECK(a.bytes() != b.bytes());
    const TrainingState loaded = load_checkpoint(path, b.trained(), {});
    CHECK(a.bytes() == b.bytes());
    CHECK(b.optimizer->update()->updates == 8);
    CHECK(b.optimizer->update()->skipped == 1);
    CHECK(loaded.step == 40);
    CHECK(loaded.epoch() == 4);
    CHECK(loaded.seed == state.seed);
    CHECK(loaded.best_value == 0.1);
    CHECK(loaded.best_step == 30);
    CHECK(loaded.validations_without_best == 1);
    CHECK(loaded.configuration == state.configuration);
    // Both go on alike, a skipped step and its return to the loaded statistics included.
    a.train(7);
    b.train(7);
    CHECK(a.bytes() == b.bytes());
  }
}

TEST_CASE("filters are stored as [out, in, height, width]; tables of constants are not stored") {
  const TemporaryFolder folder;
  Model model(1);
  CheckpointFolder checkpoints(folder.file("run"), 2);
  const std::string path = checkpoints.write(model.trained(), state_of(1), true);
  const auto file = SafetensorsFile::open(path + "/model.safetensors");
  CHECK(file.entries().size() == 4);
  CHECK(file.find("table") == nullptr);
  const Tensor filed = file.tensor("conv.weight"), computed = model.store.find("conv.weight")->value;
  CHECK(filed.shape() == Shape{4, 5, 3, 2});
  CHECK(filed.data<float>()[((1 * 5 + 4) * 3 + 2) * 2 + 1] == computed.data<float>()[((1 * 3 + 2) * 2 + 1) * 5 + 4]);
  const auto moments = SafetensorsFile::open(path + "/optimizer.safetensors");
  CHECK(moments.entries().size() == 4);
  CHECK(moments.tensor("second.conv.weight").shape() == Shape{4, 5, 3, 2});
  CHECK(moments.find("first.frozen") == nullptr);
}

TEST_CASE("a checkpoint of another model is refused with the first differences, and changes nothing") {
  const TemporaryFolder folder;
  Model model(1);
  CheckpointFolder checkpoints(folder.file("run"), 2);
  const std::string path = checkpoints.write(model.trained(), state_of(1), false);
  const auto refusal = [&](Model& other) {
    const std::string before = other.bytes();
    const std::string message = error_of(ErrorKind::data, [&] { load_checkpoint(path, other.trained(), {}); });
    CHECK(other.bytes() == before);
    return message;
  };
  Model wider(1, DType::f32, 41), renamed(1, DType::f32, 40, "tail.weight"), doubles(1, DType::f64);
  CHECK(contains(refusal(wider), "head.weight has shape [30, 40], the model's is [30, 41]"));
  const std::string names = refusal(renamed);
  CHECK(contains(names, "2 difference(s)"));
  CHECK(contains(names, "head.weight is not in the model"));
  CHECK(contains(names, "tail.weight is missing"));
  CHECK(contains(refusal(doubles), "is F32, this run computes in F64"));
}

TEST_CASE("damage is noticed and named, and the checkpoint before is used") {
  const TemporaryFolder folder;
  const std::string run = folder.file("run");
  Model model(1);
  CheckpointFolder checkpoints(run, 5);
  const std::string older = checkpoints.write(model.trained(), state_of(10), false);
  const std::string newer = checkpoints.write(model.trained(), state_of(20), false);
  CHECK(CheckpointFolder::newest_valid(run, no_notes) == newer);
  for (const char* name : {"model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"}) {
    CAPTURE(name);
    const std::string path = newer + "/" + name, whole = read_file(path);
    std::string flipped = whole;
    flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 4);
    for (const std::string& damaged : {flipped, whole.substr(0, whole.size() - 3), whole + "x", std::string()}) {
      write_file(path, damaged);
      CHECK(contains(error_of(ErrorKind::data, [&] { load_checkpoint(newer, model.trained(), {}); }), name));
      std::string note;
      CHECK(CheckpointFolder::newest_valid(run, [&](const std::string& text) { note += text; }) == older);
      CHECK(contains(note, newer + " is passed over: "));
    }
    std::filesystem::remove(path);
    CHECK(CheckpointFolder::newest_valid(run, no_notes) == older);
    write_file(path, whole);
    CHECK(CheckpointFolder::newest_valid(run, no_notes) == newer);
  }
  // What an interrupted run leaves is no checkpoint, and in nobody's way.
  std::filesystem::create_directories(run + "/step_00000030.partial");
  write_file(run + "/step_00000030.partial/model.safetensors", "half");
  std::filesystem::create_directories(run + "/step_00000040");
  CHECK(CheckpointFolder::newest_valid(run, no_notes) == newer);
  CHECK(contains(checkpoints.write(model.trained(), state_of(30), false), "step_00000030"));
  CHECK(CheckpointFolder::newest_valid(folder.file("nowhere"), no_notes).empty());
}

TEST_CASE("a full disk leaves the checkpoint before, says what happened, and leaves nothing half") {
  const TemporaryFolder folder;
  const std::string run = folder.file("run");
  Model model(1);
  CheckpointFolder checkpoints(run, 1);
  const std::string first = checkpoints.write(model.trained(), state_of(10), true);
  const std::vector<std::string> before = names_in(run);
  // Files are some 6 kB of weights, and 11 kB of moments: the first, or only the third, does not fit.
  for (const rlim_t limit : {rlim_t{1000}, rlim_t{8000}}) {
    const FullDisk full(limit);
    const std::string message =
        error_of(ErrorKind::runtime, [&] { checkpoints.write(model.trained(), state_of(20), true); });
    CHECK(contains(message, limit == 1000 ? "model.safetensors" : "optimizer.safetensors"));
    CHECK(contains(message, "File too large"));  // as "No space left on device" would be
  }
  CHECK(names_in(run) == before);
  CHECK(CheckpointFolder::newest_valid(run, no_notes) == first);
  load_checkpoint(run + "/best", model.trained(), {});
  CHECK(contains(checkpoints.write(model.trained(), state_of(20), true), "step_00000020"));
}

TEST_CASE("the newest stay, the best too, and what has no commit record is not counted among them") {
  const TemporaryFolder folder;
  const std::string run = folder.file("run");
  Model model(1);
  CheckpointFolder checkpoints(run, 2);
  const auto steps = [&] {
    std::vector<int64_t> out;
    for (const CheckpointEntry& entry : list_checkpoints(run)) out.push_back(entry.step);
    return out;
  };
  for (int64_t step = 1; step <= 5; ++step) checkpoints.write(model.trained(), state_of(step), step == 2);
  CHECK(steps() == std::vector<int64_t>{2, 4, 5});
  CHECK(link_target(run, "best") == "step_00000002");
  CHECK(link_target(run, "last") == "step_00000005");

  std::filesystem::create_directories(run + "/step_00000008");  // half a checkpoint of another program
  checkpoints.write(model.trained(), state_of(6), true);
  CHECK(steps() == std::vector<int64_t>{5, 6, 8});
  // The same step once more, after going back: the new one takes the old one's place.
  model.train(1);
  const std::string again = checkpoints.write(model.trained(), state_of(6), false);
  Model other(2);
  load_checkpoint(again, other.trained(), {});
  CHECK(other.bytes() == model.bytes());
  // After going back to an earlier step, the one written last is the one to go on from.
  checkpoints.write(model.trained(), state_of(3), false);
  CHECK(CheckpointFolder::newest_valid(run, no_notes) == run + "/step_00000003");
  CHECK_THROWS_AS(CheckpointFolder(run, 0), Error);
}

TEST_CASE("names of files that are no parameters': aliases, other prefixes, things to leave alone") {
  const TemporaryFolder folder;
  Model model(1), other(2);
  const FileNames names{.aliases =
                            [](const std::string& name) {
                              return name == "head.weight"
                                         ? std::vector<std::string>{"layers.1.weight", "layers.2.weight"}
                                         : std::vector<std::string>{};
                            },
                        .parameter_of =
                            [](const std::string& name) {
                              if (name.ends_with("num_batches_tracked")) return std::string();
                              return name.starts_with("layers.") ? std::string("head.weight") : name;
                            }};
  CheckpointFolder checkpoints(folder.file("run"), 2, names);
  const std::string path = checkpoints.write(model.trained(), state_of(1), false);
  CHECK(SafetensorsFile::open(path + "/ema.safetensors").find("layers.2.weight") != nullptr);
  load_checkpoint(path, other.trained(), names);
  CHECK(other.bytes() == model.bytes());

  // Weights from elsewhere: another type, a tensor to be left alone, aliases that must agree.
  std::vector<NamedTensor> tensors;
  const auto written = SafetensorsFile::open(path + "/model.safetensors");
  for (const auto& entry : written.entries()) {
    const Tensor value = written.tensor(entry);
    const Tensor wide(std::make_shared<double[]>(static_cast<size_t>(value.size())), value.shape(), DType::f64);
    std::copy_n(value.data<float>(), value.size(), wide.data<double>());
    tensors.push_back({entry.name, wide});
  }
  const Tensor counter(std::make_shared<int64_t[]>(1), {1}, DType::i64);
  tensors.push_back({"bn.num_batches_tracked", counter});
  write_safetensors(folder.file("elsewhere"), tensors, {});
  Model third(3);
  const auto views = views_of_all(third.store, third.store.trained_values());
  const auto read = [&](Numbers numbers) {
    read_views(SafetensorsFile::open(folder.file("elsewhere")), *third.device, third.cpu.context.stream, views, names,
               numbers);
  };
  CHECK(contains(error_of(ErrorKind::data, [&] { read(Numbers::same); }), "is F64"));
  read(Numbers::convert);
  CHECK(std::memcmp(third.store.trained_values().raw(), model.store.trained_values().raw(),
                    model.store.trained_values().bytes()) == 0);
  for (NamedTensor& tensor : tensors) {
    if (tensor.name == "layers.2.weight") tensor.value.data<double>()[7] += 1;
  }
  write_safetensors(folder.file("elsewhere"), tensors, {});
  CHECK(contains(error_of(ErrorKind::data, [&] { read(Numbers::convert); }), "are one parameter of the model, but"));
}
