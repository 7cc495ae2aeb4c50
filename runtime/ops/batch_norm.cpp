#include "runtime/ops/batch_norm.h"

#include "kernels/batch_norm.h"
#include "kernels/launch.h"
#include "runtime/ops/copy.h"

namespace bev {

namespace {

constexpr int64_t widest = 64;  // elements that rows of few channels are joined to

BatchNormLayout layout_of(int64_t elements, int64_t channels) {
  int64_t rows = elements / channels, width = channels;
  while (2 * width <= widest && rows % 2 == 0) rows /= 2, width *= 2;
  return {rows, width, channels};
}

/// One normalisation: what the forward pass leaves to the backward pass.
struct Normalisation {
  BatchNormLayout layout;
  BatchNormTail tail;
  Tensor table;  // [4, width]: mean, rstd, scale, beta
  Tensor x, y;   // y only where the backward pass needs it
  BatchNormParameters parameters;
  StatisticsReducer* reducer;  // null: of this replica alone
  bool of_batch;

  template <class T>
  BatchNormTable<T> columns() const {
    T* values = table.data<T>();
    return {values, values + layout.width, values + 2 * layout.width, values + 3 * layout.width};
  }
  int64_t replicas() const { return reducer ? reducer->replicas() : 1; }
  /// Values a channel over which the statistics are.
  double count() const {
    return static_cast<double>(layout.rows * (layout.width / layout.channels)) * static_cast<double>(replicas());
  }
  void all_reduce(const Context& context, const Tensor& sums) const {
    if (reducer && context.stream.kind != DeviceKind::dry)
      reducer->all_reduce(context.stream, sums.raw(), sums.size(), sums.dtype());
  }
};

BatchNormTail tail_of(bool add, bool relu) {
  if (add) return relu ? BatchNormTail::add_relu : BatchNormTail::add;
  return relu ? BatchNormTail::relu : BatchNormTail::none;
}

/// Calls body with the tail as a constant.
template <class Body>
void visit_tail(BatchNormTail tail, Body&& body) {
  switch (tail) {
    case BatchNormTail::none:
      return body.template operator()<BatchNormTail::none>();
    case BatchNormTail::relu:
      return body.template operator()<BatchNormTail::relu>();
    case BatchNormTail::add:
      return body.template operator()<BatchNormTail::add>();
    case BatchNormTail::add_relu:
      return body.template operator()<BatchNormTail::add_relu>();
  }
}

template <class Kernel>
void sum_columns(Context& context, const BatchNormLayout& layout, const Kernel& kernel) {
  const Tensor workspace = context.empty({columns_workspace<Kernel>(layout.rows, layout.width)});
  for_columns(context.stream, layout.rows, layout.width, workspace.data<typename Kernel::Element>(), kernel);
}

template <class T>
void statistics_of_batch(Context& context, const Normalisation& norm, const BatchNormOptions& options) {
  const BatchNormLayout& layout = norm.layout;
  const Tensor pivot = context.empty({layout.width}), sums = context.empty({2, layout.width});
  const BatchNormPivot<T> near_mean{.x = norm.x.data<T>(),
                                    .pivot = pivot.data<T>(),
                                    .layout = layout,
                                    .factor = T(1) / static_cast<T>(16 * norm.replicas())};
  for_elements(context.stream, layout.width, near_mean);
  norm.all_reduce(context, pivot);  // one pivot for all, so that sums add up
  sum_columns(
      context, layout,
      BatchNormSums<T>{.x = norm.x.data<T>(), .pivot = pivot.data<T>(), .out = sums.data<T>(), .width = layout.width});
  norm.all_reduce(context, sums);
  const BatchNormStatistics<T> kernel{.sums = sums.data<T>(),
                                      .pivot = pivot.data<T>(),
                                      .gamma = norm.parameters.gamma->value.data<T>(),
                                      .beta = norm.parameters.beta->value.data<T>(),
                                      .running_mean = norm.parameters.running_mean->value.data<T>(),
                                      .running_variance = norm.parameters.running_variance->value.data<T>(),
                                      .table = norm.columns<T>(),
                                      .layout = layout,
                                      .count = norm.count(),
                                      .eps = options.eps,
                                      .momentum = options.momentum};
  for_elements(context.stream, layout.channels, kernel);
}

template <class T>
void running_statistics(Context& context, const Normalisation& norm, const BatchNormOptions& options) {
  const BatchNormFromRunning<T> kernel{.running_mean = norm.parameters.running_mean->value.data<T>(),
                                       .running_variance = norm.parameters.running_variance->value.data<T>(),
                                       .gamma = norm.parameters.gamma->value.data<T>(),
                                       .beta = norm.parameters.beta->value.data<T>(),
                                       .table = norm.columns<T>(),
                                       .channels = norm.layout.channels,
                                       .eps = static_cast<T>(options.eps)};
  for_elements(context.stream, norm.layout.width, kernel);
}

template <class T>
void apply(Context& context, const Normalisation& norm, const Tensor* residual, const Tensor& y) {
  visit_tail(norm.tail, [&]<BatchNormTail tail>() {
    const BatchNormApply<T, tail> kernel{.x = norm.x.data<T>(),
                                         .residual = residual ? residual->data<T>() : nullptr,
                                         .y = y.data<T>(),
                                         .table = norm.columns<T>(),
                                         .width = norm.layout.width};
    for_rows(context.stream, norm.layout.rows, norm.layout.width, kernel);
  });
}

template <class T, BatchNormTail tail>
BatchNormGate<T, tail> gate_of(const Normalisation& norm, const Tensor& d_y) {
  const BatchNormTable<T> table = norm.columns<T>();
  return {.d_y = d_y.data<T>(),
          .x = norm.x.data<T>(),
          .y = norm.y.defined() ? norm.y.data<T>() : nullptr,
          .mean = table.mean,
          .scale = table.scale,
          .beta = table.beta};
}

/// The sums that gradients of weights and of statistics need, [2, width], of this replica's rows.
template <class T>
Tensor gradient_sums(Context& context, const Normalisation& norm, const Tensor& d_y) {
  const Tensor sums = context.empty({2, norm.layout.width});
  visit_tail(norm.tail, [&]<BatchNormTail tail>() {
    sum_columns(context, norm.layout,
                BatchNormGradientSums<T, tail>{
                    .gate = gate_of<T, tail>(norm, d_y), .out = sums.data<T>(), .width = norm.layout.width});
  });
  return sums;
}

template <class T>
void weight_gradient(Context& context, const Normalisation& norm, const Tensor& sums) {
  context.tape.add(*norm.parameters.gamma, [&](const Tensor& d_gamma, bool accumulate_gamma) {
    context.tape.add(*norm.parameters.beta, [&](const Tensor& d_beta, bool accumulate_beta) {
      const BatchNormWeightGradient<T> kernel{.sums = sums.data<T>(),
                                              .rstd = norm.columns<T>().rstd,
                                              .d_gamma = d_gamma.data<T>(),
                                              .d_beta = d_beta.data<T>(),
                                              .layout = norm.layout,
                                              .accumulate_gamma = accumulate_gamma,
                                              .accumulate_beta = accumulate_beta};
      for_elements(context.stream, norm.layout.channels, kernel);
    });
  });
}

/// Constant and slope of the statistics' pull, [2, width]: 0 where the statistics are not of the batch.
template <class T>
Tensor pull_of(Context& context, const Normalisation& norm, const Tensor& sums) {
  const Tensor pull = context.empty({2, norm.layout.width});
  if (!norm.of_batch) {
    fill(context, pull, 0);
    return pull;
  }
  norm.all_reduce(context, sums);
  const BatchNormTable<T> table = norm.columns<T>();
  const BatchNormPull<T> kernel{.sums = sums.data<T>(),
                                .rstd = table.rstd,
                                .scale = table.scale,
                                .constant = pull.data<T>(),
                                .slope = pull.data<T>() + norm.layout.width,
                                .layout = norm.layout,
                                .count = norm.count()};
  for_elements(context.stream, norm.layout.channels, kernel);
  return pull;
}

/// Calls use(gradient, accumulate) with where an input's gradient is to be written: d_y itself where the input has none
/// yet and `overwrite` allows it, an undefined tensor where the input needs none.
template <class Use>
void with_gradient(Context& context, const Gradient& input, const Tensor& d_y, bool overwrite, const Use& use) {
  if (!input) return use(Tensor(), false);
  if (overwrite && Tape::adopt(input, d_y)) return use(d_y, false);
  context.tape.add(input, use);
}

template <class T>
void input_gradients(Context& context, const Normalisation& norm, const Tensor& d_y, const Tensor& pull,
                     const Gradient& x, const Gradient& residual) {
  const auto run = [&](const Tensor& d_x, bool accumulate_x, const Tensor& d_residual, bool accumulate_residual) {
    visit_tail(norm.tail, [&]<BatchNormTail tail>() {
      const BatchNormBackward<T, tail> kernel{.gate = gate_of<T, tail>(norm, d_y),
                                              .constant = pull.data<T>(),
                                              .slope = pull.data<T>() + norm.layout.width,
                                              .d_x = d_x.defined() ? d_x.data<T>() : nullptr,
                                              .d_residual = d_residual.defined() ? d_residual.data<T>() : nullptr,
                                              .width = norm.layout.width,
                                              .accumulate_x = accumulate_x,
                                              .accumulate_residual = accumulate_residual};
      for_rows(context.stream, norm.layout.rows, norm.layout.width, kernel);
    });
  };
  with_gradient(context, residual, d_y, true, [&](const Tensor& d_residual, bool accumulate_residual) {
    with_gradient(context, x, d_y, !residual, [&](const Tensor& d_x, bool accumulate_x) {
      run(d_x, accumulate_x, d_residual, accumulate_residual);
    });
  });
}

}  // namespace

Variable batch_norm(Context& context, const Variable& x, const BatchNormParameters& parameters,
                    const BatchNormOptions& options, const Variable* residual) {
  const int64_t channels = parameters.gamma->size();
  if (x.dim(-1) != channels || (residual && residual->shape() != x.shape())) {
    fail(ErrorKind::runtime, "{}: batch norm of {} channels got {}{}", parameters.gamma->name, channels,
         x.shape().text(), residual ? " and a residual " + residual->shape().text() : "");
  }
  if (residual && residual->value().raw() == x.value().raw())
    fail(ErrorKind::runtime, "{}: batch norm cannot have its own input as residual", parameters.gamma->name);
  Normalisation norm{.layout = layout_of(x.size(), channels),
                     .tail = tail_of(residual != nullptr, options.relu),
                     .table = {},
                     .x = x.value(),
                     .y = {},
                     .parameters = parameters,
                     .reducer = options.synchronised && options.of_batch ? context.statistics : nullptr,
                     .of_batch = options.of_batch};
  if (options.of_batch && norm.count() < 2) {
    fail(ErrorKind::usage,
         "{}: batch norm has one value a channel ({}) and so no variance: more images or a larger raster are needed",
         parameters.gamma->name, x.shape().text());
  }
  norm.table = context.empty({4, norm.layout.width});
  const Variable y = context.tape.output(context.empty(x.shape()));
  visit_float(context.dtype, [&]<class T>(T) {
    options.of_batch ? statistics_of_batch<T>(context, norm, options) : running_statistics<T>(context, norm, options);
    apply<T>(context, norm, residual ? &residual->value() : nullptr, y.value());
  });
  if (norm.tail == BatchNormTail::add_relu) norm.y = y.value();

  context.tape.use(*parameters.gamma);
  context.tape.use(*parameters.beta);
  context.tape.record("batch_norm", y,
                      [&context, norm, d_x = x.gradient(), d_residual = residual ? residual->gradient() : nullptr,
                       slot = y.gradient()] {
                        const Tensor d_y = Tape::take(slot);
                        visit_float(context.dtype, [&]<class T>(T) {
                          const bool weights = Tape::wants(*norm.parameters.gamma);
                          const Tensor sums =
                              weights || norm.of_batch ? gradient_sums<T>(context, norm, d_y) : Tensor();
                          if (weights) weight_gradient<T>(context, norm, sums);
                          if (!d_x && !d_residual) return;
                          input_gradients<T>(context, norm, d_y, pull_of<T>(context, norm, sums), d_x, d_residual);
                        });
                      });
  return y;
}

}  // namespace bev
