// Gradients that were summed wrong are found out though all replicas hold the same weights, and nothing else is taken
// for that. What each row of the first case spoils is invisible to hashes of weights wherever the last column says so.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <tuple>
#include <utility>

#include "runtime/distributed/reduction_check.h"
#include "tests/support/cpu_context.h"
#include "tests/support/forgetful_communicator.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"

namespace bev::test {

namespace {

TinyRun run_in(const TemporaryFolder& folder, DType dtype, int replicas, bool sharded, int64_t accumulation) {
  TinyRun run;
  run.dtype = dtype;
  run.replicas = replicas;
  run.global_batch = 24;
  run.samples = 72;  // three steps an epoch
  run.trainer.folder = folder.file("run");
  run.trainer.epochs = 2;
  run.trainer.accumulation = accumulation;
  run.trainer.agreement_steps = 1;
  run.trainer.schedule = {.kind = ScheduleKind::constant, .peak = 1e-2};
  run.optimizer.max_gradient_norm = 0.01;  // every step is clipped
  run.hidden = 64;
  run.reducer = {.bucket_bytes = 1, .sharded = sharded};  // a bucket a parameter
  return run;
}

/// Replica 1 spoils that collective.
void spoil(TinyRun& run, const std::string& collective, Fault fault, int64_t spared = 0) {
  run.communicator = [=](int rank, std::shared_ptr<Communicator> inner) -> std::shared_ptr<Communicator> {
    return std::make_shared<ForgetfulCommunicator>(std::move(inner), rank == 1 ? collective : "", fault, spared);
  };
}

/// One parameter's gradients on each of several replicas, summed by hand between the check's two looks.
template <class T>
class Summed {
 public:
  static constexpr int64_t elements = 40000;  // more than a chunk
  /// Element i of replica `rank`.
  using Part = std::function<double(int rank, int64_t i)>;

  /// What the check says about the sums of `part` after `spoil` on replica 1; "" if nothing.
  static std::string verdict(int replicas, const Part& part, const std::function<void(T* sums)>& spoil = {}) {
    std::string out;
    ReplicaGroup group(replicas);
    try {
      group.run([&](int rank) { check(group.host(rank), part, rank == 1 ? spoil : nullptr); });
    } catch (const Error& error) {
      out = error.what();
    }
    return out;
  }

 private:
  static void check(Communicator& host, const Part& part, const std::function<void(T* sums)>& spoil) {
    CpuContext cpu(dtype_of<T>(), size_t{1} << 20);
    const auto device = make_cpu_device();
    ParameterStore store;
    store.allocate(*cpu.context.arena, dtype_of<T>(), {&store.declare("w", {elements}, Init::constant(0))},
                   [](void* memory, size_t bytes) { std::memset(memory, 0, bytes); });
    const GradientReducer reducer(store, host, {});
    ReductionCheck check(store, reducer, cpu.context, *device, host);
    T* const gradients = store.trained_gradients().data<T>();
    for (int64_t i = 0; i < elements; ++i) gradients[i] = static_cast<T>(part(host.rank(), i));
    check.before(0);
    host.all_reduce(gradients, elements, dtype_of<T>(), "gradients");
    host.release_to(Stream{});
    if (spoil) spoil(gradients);
    check.after();
    check.check("here");
  }
};

/// Numbers without a pattern, in [-1, 1).
double number(int rank, int64_t i) {
  return static_cast<double>(mix_bits(static_cast<uint64_t>(rank * Summed<float>::elements + i + 1))) * 0x1p-63 - 1;
}

}  // namespace

TEST_CASE("a bucket that is not summed right is named after the first step, whoever holds it") {
  struct Row {
    const char* collective;
    bool sharded;
    Fault fault;
    std::string found;
  };
  // Bucket 2 is net.0.weight, 320 elements: sharded by two, 128 each and 64 for both.
  const std::string not_the_sum = "the gradient of net.0.weight (bucket 2) is not the sum of what they computed: ";
  const Row rows[] = {
      {"reduce_scatter of bucket 2", true, Fault::keeps_its_own,
       not_the_sum + "replica 1 has its own part alone (1 of 4 tensors are wrong)"},
      {"reduce_scatter of bucket 2", true, Fault::adds_nothing,
       not_the_sum + "replica 0, 1 has something else (1 of 4 tensors are wrong)"},
      {"all_reduce of bucket 2", true, Fault::keeps_its_own, not_the_sum + "replica 1 has its own part alone"},
      {"all_reduce of bucket 2", true, Fault::adds_nothing, not_the_sum + "replica 0, 1 has something else"},
      {"all_reduce of bucket 2", false, Fault::adds_nothing, not_the_sum + "replica 0, 1 has something else"},
      {"all_gather of squared norms", true, Fault::keeps_its_own, "differs from the others in the gradient norm"},
      {"all_reduce of loss", true, Fault::keeps_its_own, "replica 1 differs from the others in the loss"},
      {"all_reduce of loss", false, Fault::keeps_its_own, "replica 1 differs from the others in the loss"},
  };
  for (const Row& row : rows) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      for (const int64_t accumulation : {1, 3}) {
        CAPTURE(row.collective);
        CAPTURE(row.fault);
        CAPTURE(name_of(dtype));
        CAPTURE(accumulation);
        const TemporaryFolder folder;
        TinyRun run = run_in(folder, dtype, 2, row.sharded, accumulation);
        spoil(run, row.collective, row.fault);
        const std::string message = error_of(ErrorKind::disagreement, [&] { run.run(); });
        CAPTURE(message);
        CHECK(contains(message, "replicas disagree in the first step: "));
        CHECK(contains(message, row.found));
      }
    }
  }
}

TEST_CASE("a reduction that goes wrong later is found with the comparison that is due next") {
  for (const auto& [agreement_steps, save_steps, found] :
       {std::tuple{4, 0, "in step 4: "}, std::tuple{0, 5, "in step 5: "}, std::tuple{0, 0, "in step 6: "}}) {
    const TemporaryFolder folder;
    TinyRun run = run_in(folder, DType::f32, 3, true, 1);
    run.trainer.agreement_steps = agreement_steps;
    run.trainer.save_steps = save_steps;
    run.trainer.save_epochs = run.trainer.validate_epochs = 0;
    spoil(run, "reduce_scatter of bucket 2", Fault::keeps_its_own, 2);  // from the third step on
    const std::string message = error_of(ErrorKind::disagreement, [&] { run.run(); });
    CAPTURE(message);
    CHECK(contains(message, found));
    CHECK(contains(message, "the gradient of net.0.weight (bucket 2) is not the sum of what they computed: replica 1"));
  }
}

TEST_CASE("sums that are right are never taken for wrong, and steps that are skipped are not judged") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const bool sharded : {false, true}) {
      for (const int replicas : {2, 3, 8}) {
        const TemporaryFolder folder;
        TinyRun run = run_in(folder, dtype, replicas, sharded, 1);
        run.trainer.on_nonfinite = NonFinitePolicy::skip;
        run.poisoned = {7};  // a NaN in each epoch
        run.trainer.epochs = 4;
        std::vector<std::string> notes;
        run.hooks.note = [&](const std::string& note) { notes.push_back(note); };
        CHECK(run.run().state.step == 12);
        CHECK(notes.size() == 4);
      }
    }
  }
}

TEST_CASE_TEMPLATE("rounding is told from errors, whatever the gradients are like", T, float, double) {
  using Part = typename Summed<T>::Part;
  constexpr int64_t last = Summed<T>::elements - 1;
  const double largest = static_cast<double>(std::numeric_limits<T>::max());
  const double smallest = static_cast<double>(std::numeric_limits<T>::denorm_min());
  const Part alike = number;
  const Part of_all_sizes = [](int rank, int64_t i) {
    return number(rank, i) * std::pow(10.0, (i + 7 * rank) % 31 - 20);
  };
  const Part cancelling = [](int rank, int64_t i) { return (rank % 2 ? -1 : 1) * number(0, i / 2) * (i % 2 ? -1 : 1); };
  const Part tiny = [&](int rank, int64_t i) { return smallest * (rank + 3 * (i % 5)); };
  const Part none = [](int, int64_t) { return 0.0; };
  const Part overflowing = [&](int, int64_t i) { return i == 5 ? largest : 1.0; };
  const Part broken = [&](int rank, int64_t i) { return rank == 1 && i == 5 ? std::nan("") : number(rank, i); };
  for (const Part& part : {alike, of_all_sizes, cancelling, tiny, none, overflowing, broken}) {
    for (const int replicas : {2, 3, 8}) CHECK(Summed<T>::verdict(replicas, part) == "");
  }

  const auto found = [&](const Part& part, const std::function<void(T*)>& spoil) {
    const std::string message = Summed<T>::verdict(3, part, spoil);
    return contains(message, "replicas disagree here: the gradient of w (bucket 0)") &&
           contains(message, "replica 1 has something else (1 of 1 tensors are wrong)");
  };
  CHECK(found(alike, [](T* sums) { sums[last] += T(0.1); }));  // one element of 40000
  CHECK(found(alike, [](T* sums) { std::swap(sums[100], sums[101]); }));
  CHECK(found(alike, [](T* sums) { sums[3] = std::numeric_limits<T>::infinity(); }));
  CHECK(found(alike, [](T* sums) { sums[3] = std::numeric_limits<T>::quiet_NaN(); }));
  CHECK(found(alike, [](T* sums) { std::fill(sums, sums + last, T(0)); }));
  // Sums of zero: the plain sum of all elements would not see that these were doubled.
  CHECK(found([](int, int64_t i) { return i % 2 ? -1.0 : 1.0; },
              [](T* sums) {
                for (int64_t i = 0; i <= last; ++i) sums[i] *= 2;
              }));
}

}  // namespace bev::test
