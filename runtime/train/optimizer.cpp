#include "runtime/train/optimizer.h"

#include <algorithm>
#include <limits>

#include "kernels/launch.h"
#include "runtime/transfer.h"

namespace bev {

namespace {

constexpr int64_t segment_elements = 8192;  // enough to hide the start of a row, few enough to spread over any machine

/// Cuts the part of `parameter` that lies in `span` into segments. `state` is where the span's state begins.
void append_segments(const Parameter& parameter, double decay, const FlatSpan& span, int64_t state,
                     std::vector<Segment>& out) {
  const int64_t begin = std::max(parameter.offset, span.first);
  const int64_t end = std::min(parameter.offset + parameter.size(), span.first + span.count);
  for (int64_t first = begin; first < end; first += segment_elements) {
    out.push_back({.begin = first,
                   .state = state + first - span.first,
                   .count = std::min(segment_elements, end - first),
                   .decay = decay});
  }
}

/// The segments of all trained parameters within `spans`, whose state lies one behind the other.
std::vector<Segment> segments_of(const ParameterStore& store, const OptimizerConfig& config,
                                 const std::vector<FlatSpan>& spans) {
  std::vector<Segment> out;
  for (const Parameter* parameter : store.trained()) {
    const bool decays = config.decay_norm_and_bias || parameter->shape.rank() > 1;
    int64_t state = 0;
    for (const FlatSpan& span : spans) {
      append_segments(*parameter, decays ? config.weight_decay : 0, span, state, out);
      state += span.count;
    }
  }
  return out;
}

const Segment* segments_in(const Tensor& bytes) { return static_cast<const Segment*>(bytes.raw()); }

}  // namespace

Optimizer::Optimizer(ParameterStore& store, Context& context, Device& device, const OptimizerConfig& config,
                     OptimizerShards shards)
    : store_(store), context_(context), device_(device), config_(config), shards_(shards) {
  const Tensor weights = store.trained_values();
  if (!weights.defined()) fail(ErrorKind::usage, "there is nothing to train: no parameter gets a gradient");
  owned_ = sharded() ? shards.reducer->owned() : std::vector<FlatSpan>{{0, weights.size()}};
  int64_t elements = 0;
  for (const FlatSpan& span : owned_) elements += span.count;
  const std::vector<Segment> segments = segments_of(store, config, owned_);
  std::vector<Segment> buffer_segments;
  for (const auto& parameter : store.all()) {
    const FlatSpan everything{0, std::numeric_limits<int64_t>::max() / 2};
    if (parameter->is_buffer && parameter->in_files) append_segments(*parameter, 0, everything, 0, buffer_segments);
  }
  segment_count_ = std::ssize(segments);
  buffer_segment_count_ = std::ssize(buffer_segments);

  const Scope scope(context.tape, "optimizer");
  const Shape shape{std::max<int64_t>(elements, 1)};
  first_ = context.empty(shape, weights.dtype());
  second_ = context.empty(shape, weights.dtype());
  averages_ = context.empty(shape, weights.dtype());
  update_ = context.empty({static_cast<int64_t>(sizeof(UpdateState))}, DType::u8);
  segments_ = make_segments(segments);
  counted_segments_ = segments_;
  counted_segment_count_ = segment_count_;
  if (sharded()) {
    const std::vector<Segment> counted = segments_of(store, config, shards.reducer->counted());
    counted_segments_ = make_segments(counted);
    counted_segment_count_ = std::ssize(counted);
    replica_sums_ = context.empty({shards.communicator->size()}, DType::f64);
  }
  sums_ = context.empty({std::max<int64_t>(counted_segment_count_, 1)}, DType::f64);
  zero(device, context.stream, first_);
  zero(device, context.stream, second_);
  const UpdateState fresh;
  write_to_device(device, context.stream, update_.raw(), &fresh, sizeof fresh);
  if (buffer_segment_count_ > 0) {
    buffer_segments_ = make_segments(buffer_segments);
    buffer_copies_ = context.empty(store.other_values().shape(), store.other_values().dtype());
  }
  restart_average();
}

Tensor Optimizer::make_segments(const std::vector<Segment>& segments) {
  const size_t bytes = segments.size() * sizeof(Segment);
  const Tensor out = context_.empty({static_cast<int64_t>(bytes)}, DType::u8);
  write_to_device(device_, context_.stream, out.raw(), segments.data(), bytes);
  return out;
}

void Optimizer::measure() {
  visit_float(context_.dtype, [&]<class T>(T) {
    const SegmentSquares<T> squares{.segments = segments_in(counted_segments_),
                                    .gradients = store_.trained_gradients().data<T>(),
                                    .sums = sums_.data<double>(),
                                    .elements = first_.size()};
    for_rows(context_.stream, counted_segment_count_, segment_elements, squares);
    const TotalSquares<T> total{.sums = sums_.data<double>(), .update = update(), .count = counted_segment_count_};
    for_rows(context_.stream, 1, counted_segment_count_, total);
    if (!sharded() || context_.stream.kind == DeviceKind::dry) return;
    // Gathered and then added up in the order of ranks, so that all replicas get the same bits.
    Communicator& communicator = *shards_.communicator;
    communicator.wait_for(context_.stream);
    communicator.all_gather(&update()->squared_norm, replica_sums_.raw(), 1, DType::f64, "squared norms");
    communicator.release_to(context_.stream);
    const TotalSquares<T> of_all{
        .sums = replica_sums_.data<double>(), .update = update(), .count = communicator.size()};
    for_rows(context_.stream, 1, communicator.size(), of_all);
  });
}

void Optimizer::decide() {
  visit_float(context_.dtype, [&]<class T>(T) {
    const DecideUpdate<T> kernel{.update = update(),
                                 .max_norm = config_.max_gradient_norm,
                                 .beta1 = config_.beta1,
                                 .beta2 = config_.beta2,
                                 .ema_inv_gamma = config_.ema_inv_gamma,
                                 .ema_power = config_.ema_power,
                                 .ema_min = config_.ema_min,
                                 .ema_max = config_.ema_max,
                                 .ema_update_after_step = config_.ema_update_after_step};
    for_elements(context_.stream, 1, kernel);
  });
}

void Optimizer::apply() {
  visit_float(context_.dtype, [&]<class T>(T) {
    const AdamW<T> adamw{.segments = segments_in(segments_),
                         .step = context_.state,
                         .update = update(),
                         .gradients = store_.trained_gradients().data<T>(),
                         .weights = store_.trained_values().data<T>(),
                         .first = first_.data<T>(),
                         .second = second_.data<T>(),
                         .averages = averages_.data<T>(),
                         .beta1 = config_.beta1,
                         .beta2 = config_.beta2,
                         .epsilon = config_.epsilon,
                         .elements = first_.size()};
    for_rows(context_.stream, segment_count_, segment_elements, adamw);
    if (buffer_segment_count_ > 0) {
      const GuardBuffers<T> guard{.segments = segments_in(buffer_segments_),
                                  .update = update(),
                                  .values = store_.other_values().data<T>(),
                                  .copies = buffer_copies_.data<T>(),
                                  .elements = buffer_copies_.size()};
      for_rows(context_.stream, buffer_segment_count_, segment_elements, guard);
    }
  });
  if (sharded() && context_.stream.kind != DeviceKind::dry) shards_.reducer->gather(store_.trained_values());
}

void Optimizer::keep_statistics() {
  if (buffer_segment_count_ > 0) copy_elements(device_, context_.stream, buffer_copies_, store_.other_values());
}

/// Calls copy(elements of a whole span, elements of this replica's state) for every part it owns; the first arguments
/// are where the part begins in each.
template <class Copy>
void Optimizer::for_each_owned(const Copy& copy) const {
  int64_t state = 0;
  for (const FlatSpan& span : owned_) {
    if (span.count > 0) copy(span.first, state, Shape{span.count});
    state += span.count;
  }
}

const Tensor& Optimizer::state(Kind kind) const {
  return kind == Kind::first_moment ? first_ : kind == Kind::second_moment ? second_ : averages_;
}

void Optimizer::restart_average() {
  keep_statistics();
  for_each_owned([&](int64_t whole, int64_t own, const Shape& shape) {
    copy_elements(device_, context_.stream, averages_.part(own, shape), store_.trained_values().part(whole, shape));
  });
}

Tensor Optimizer::whole(Kind kind) {
  if (!sharded()) return state(kind);
  const Tensor out = store_.trained_gradients();
  for_each_owned([&](int64_t whole, int64_t own, const Shape& shape) {
    copy_elements(device_, context_.stream, out.part(whole, shape), state(kind).part(own, shape));
  });
  shards_.reducer->gather(out);
  return out;
}

void Optimizer::adopt_whole(Kind kind) {
  if (!sharded()) return;
  for_each_owned([&](int64_t whole, int64_t own, const Shape& shape) {
    copy_elements(device_, context_.stream, state(kind).part(own, shape),
                  store_.trained_gradients().part(whole, shape));
  });
}

void Optimizer::end_whole() {
  if (sharded()) zero(device_, context_.stream, store_.trained_gradients());
}

void Optimizer::use_average(bool on) {
  store_.read_values_from(on ? whole(Kind::average) : store_.trained_values());
  if (!on) end_whole();
}

}  // namespace bev
