#include "runtime/train/optimizer.h"

#include <algorithm>

#include "kernels/launch.h"
#include "runtime/transfer.h"

namespace bev {

namespace {

constexpr int64_t segment_elements = 8192;  // enough to hide the start of a row, few enough to spread over any machine

void append_segments(const Parameter& parameter, double decay, std::vector<Segment>& out) {
  for (int64_t first = 0; first < parameter.size(); first += segment_elements) {
    out.push_back({.begin = parameter.offset + first,
                   .count = std::min(segment_elements, parameter.size() - first),
                   .decay = decay});
  }
}

}  // namespace

Optimizer::Optimizer(ParameterStore& store, Context& context, Device& device, const OptimizerConfig& config)
    : store_(store), context_(context), device_(device), config_(config) {
  const Tensor weights = store.trained_values();
  if (!weights.defined()) fail(ErrorKind::usage, "there is nothing to train: no parameter gets a gradient");
  std::vector<Segment> segments, buffer_segments;
  for (const Parameter* parameter : store.trained()) {
    const bool decays = config.decay_norm_and_bias || parameter->shape.rank() > 1;
    append_segments(*parameter, decays ? config.weight_decay : 0, segments);
  }
  for (const auto& parameter : store.all()) {
    if (parameter->is_buffer && parameter->in_files) append_segments(*parameter, 0, buffer_segments);
  }
  segment_count_ = static_cast<int64_t>(segments.size());
  buffer_segment_count_ = static_cast<int64_t>(buffer_segments.size());

  const Scope scope(context.tape, "optimizer");
  first_ = context.empty(weights.shape(), weights.dtype());
  second_ = context.empty(weights.shape(), weights.dtype());
  averages_ = context.empty(weights.shape(), weights.dtype());
  sums_ = context.empty({segment_count_}, DType::f64);
  update_ = context.empty({static_cast<int64_t>(sizeof(UpdateState))}, DType::u8);
  segments_ = make_segments(segments);
  zero(device, context.stream, first_);
  zero(device, context.stream, second_);
  const UpdateState fresh;
  write_to_device(device, context.stream, update_.raw(), &fresh, sizeof fresh);
  if (buffer_segment_count_ > 0) {
    buffer_segments_ = make_segments(buffer_segments);
    buffer_copies_ = context.empty(store.other_values().shape(), store.other_values().dtype());
    keep_statistics();
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
    const SegmentSquares<T> squares{.segments = static_cast<const Segment*>(segments_.raw()),
                                    .gradients = store_.trained_gradients().data<T>(),
                                    .sums = sums_.data<double>()};
    for_rows(context_.stream, segment_count_, segment_elements, squares);
    const TotalSquares<T> total{.sums = sums_.data<double>(), .update = update(), .segments = segment_count_};
    for_rows(context_.stream, 1, segment_count_, total);
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
    const AdamW<T> adamw{.segments = static_cast<const Segment*>(segments_.raw()),
                         .step = context_.state,
                         .update = update(),
                         .gradients = store_.trained_gradients().data<T>(),
                         .weights = store_.trained_values().data<T>(),
                         .first = first_.data<T>(),
                         .second = second_.data<T>(),
                         .averages = averages_.data<T>(),
                         .beta1 = config_.beta1,
                         .beta2 = config_.beta2,
                         .epsilon = config_.epsilon};
    for_rows(context_.stream, segment_count_, segment_elements, adamw);
    if (buffer_segment_count_ > 0) {
      const GuardBuffers<T> guard{.segments = static_cast<const Segment*>(buffer_segments_.raw()),
                                  .update = update(),
                                  .values = store_.other_values().data<T>(),
                                  .copies = buffer_copies_.data<T>()};
      for_rows(context_.stream, buffer_segment_count_, segment_elements, guard);
    }
  });
}

void Optimizer::keep_statistics() {
  if (buffer_segment_count_ > 0) copy_elements(device_, context_.stream, buffer_copies_, store_.other_values());
}

void Optimizer::restart_average() { copy_elements(device_, context_.stream, averages_, store_.trained_values()); }

void Optimizer::use_average(bool on) { store_.read_values_from(on ? averages_ : store_.trained_values()); }

}  // namespace bev
