#include "runtime/train/memory_plan.h"

#include "runtime/distributed/statistics.h"
#include "runtime/train/inputs.h"

namespace bev {

namespace {

double mebibytes(size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

/// What was tallied since.
WorkTally operator-(const WorkTally& now, const WorkTally& then) {
  return {now.launches - then.launches, now.matmul_flop - then.matmul_flop,
          now.convolution_flop - then.convolution_flop, now.bytes - then.bytes};
}

}  // namespace

std::string MemoryPlan::table(size_t rows) const {
  std::string out;
  size_t rest = 0, sum = 0;
  for (size_t i = 0; i < held.size(); ++i) {
    sum += held[i].bytes;
    if (i < rows) {
      out += fmt::format("{:>10.1f} MiB  {}\n", mebibytes(held[i].bytes), held[i].label);
    } else {
      rest += held[i].bytes;
    }
  }
  if (rest > 0) out += fmt::format("{:>10.1f} MiB  {} smaller parts\n", mebibytes(rest), held.size() - rows);
  out += fmt::format("{:>10.1f} MiB  at the worst moment, micro-batch {}; {:.1f} MiB of it from step to step\n",
                     mebibytes(sum), micro_batch, mebibytes(kept));
  if (convolutions.largest > 0) {
    out +=
        fmt::format("{:>10.1f} MiB  is the most that a convolution works in; only the worst moment's is in the sum\n",
                    mebibytes(static_cast<size_t>(convolutions.largest)));
  }
  for (const std::string& loss : convolutions.losses) out += loss + '\n';
  return out;
}

Engines make_engines(Device& device, const Stream& stream) {
  return {device.make_matmul(stream), device.make_convolution(stream)};
}

MemoryPlanner::MemoryPlanner(Task& task, ParameterStore& store, Device& device, std::vector<FieldSpec> fields,
                             DType dtype, const OptimizerConfig& optimizer, const ReducerConfig& reducer,
                             Communicator& communicator, Engines engines)
    : task_(task),
      store_(store),
      device_(device),
      fields_(std::move(fields)),
      dtype_(dtype),
      optimizer_(optimizer),
      reducer_(reducer),
      communicator_(communicator),
      engines_(std::move(engines)) {
  if (!engines_.matmul) engines_ = make_engines(device, device.make_stream());
}

MemoryPlan MemoryPlanner::dry_run(int64_t micro_batch, const std::vector<Parameter*>& order, bool with_table) {
  MemoryPlan plan;
  plan.micro_batch = micro_batch;
  const auto arena = Arena::dry();
  arena->record_peak(with_table);
  const Stream stream{.kind = DeviceKind::dry, .tally = &plan.work};
  const StepState state;
  Context context(stream, arena, engines_.matmul, engines_.convolution, &state, dtype_);
  UnsummedStatistics statistics(communicator_.size());
  context.statistics = &statistics;

  // What is kept, in the order of Replica's construction.
  store_.allocate(*arena, dtype_, order, [](void*, size_t) {});
  GradientReducer reducer(store_, communicator_, reducer_);
  Optimizer optimizer(store_, context, device_, optimizer_, {&reducer, &communicator_});
  const Inputs inputs(context, device_, fields_, micro_batch);
  plan.kept = arena->in_use();

  // The batch itself lies among the inputs, or in the loader's memory.
  const auto elsewhere = Arena::dry();
  Context outside(stream, elsewhere, engines_.matmul, engines_.convolution, &state, dtype_);
  const Batch batch = batch_in_arena(outside, fields_, micro_batch);

  context.tape.set_gradient_ready([&](Parameter& parameter) {
    plan.order.push_back(&parameter);
    plan.gradient_work.push_back(plan.work - plan.forward);
  });
  context.tape.begin(store_, false);
  {
    const Variable loss = task_.loss(context, batch);
    plan.forward = plan.work;
    plan.activations = arena->in_use() - plan.kept;
    context.tape.backward(loss, [](const Tensor&, bool) {});
  }
  plan.backward = plan.work - plan.forward;
  optimizer.step();
  plan.optimizer = plan.work - plan.forward - plan.backward;

  const WorkTally work = plan.work;  // validation is not part of it
  context.tape.set_recording(false);
  context.training = false;
  context.restart_random_places();
  MetricSums sums;
  task_.validate(context, batch, sums);
  plan.work = work;

  plan.convolutions = engines_.convolution->workspace_report();
  plan.peak = arena->peak();
  plan.extent = arena->extent();
  plan.held = arena->holdings_at_peak();
  return plan;
}

MemoryPlan MemoryPlanner::plan(int64_t micro_batch) {
  if (order_.empty()) {  // every parameter that may be trained has a gradient, until it is known which get one
    std::vector<Parameter*> all;
    for (const auto& parameter : store_.all()) {
      if (parameter->trainable) all.push_back(parameter.get());
    }
    order_ = dry_run(micro_batch, all, false).order;
    if (order_.empty()) fail(ErrorKind::usage, "there is nothing to train: no parameter gets a gradient");
  }
  return dry_run(micro_batch, order_, true);
}

int64_t MemoryPlanner::largest_within(int64_t below, size_t limit) {
  int64_t fits = 0, too_many = below;
  while (too_many - fits > 1) {
    const int64_t middle = fits + (too_many - fits) / 2;
    (dry_run(middle, order_, false).extent <= limit ? fits : too_many) = middle;
  }
  return fits;
}

MemoryPlan MemoryPlanner::leanest(int64_t micro_batch, size_t limit) {
  engines_.convolution->limit_workspace({});
  MemoryPlan out = plan(micro_batch);
  for (const int64_t mebibytes : {1024, 256, 64, 16, 4, 0}) {
    if (out.extent <= limit || out.convolutions.largest == 0) break;
    engines_.convolution->limit_workspace({.bytes = mebibytes << 20, .firm = true});
    out = plan(micro_batch);
  }
  return out;
}

MemoryPlan MemoryPlanner::plan_within(int64_t micro_batch, size_t limit) {
  MemoryPlan out = leanest(micro_batch, limit);
  if (out.extent <= limit) return out;
  const int64_t fits = largest_within(micro_batch, limit);
  const std::string advice = fits > 0 ? fmt::format("the largest micro-batch that fits is {}", fits)
                                      : std::string("not even a micro-batch of 1 fits: the model is too large");
  throw OutOfMemory(fmt::format("{}: a micro-batch of {} samples needs {:.1f} MiB and {:.1f} MiB are free: {}",
                                device_.text(), micro_batch, mebibytes(out.extent), mebibytes(limit), advice),
                    out.table());
}

}  // namespace bev
