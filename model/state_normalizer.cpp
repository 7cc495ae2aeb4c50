#include "model/state_normalizer.h"

#include "kernels/launch.h"
#include "kernels/standardize.h"

namespace bev {

StateNormalizer::StateNormalizer(ParameterStore& store, const PolicyConfig& config) {
  if (!config.normalize_state) return;
  const auto wanted = static_cast<size_t>(config.state_dim);
  if (config.state_mean.size() != wanted || config.state_deviation.size() != wanted) {
    fail(ErrorKind::usage,
         "data.normalize_state needs the mean and deviation of {} state values; the data set gives {}", wanted,
         config.state_mean.size());
  }
  std::vector<double> inverse;
  for (const double deviation : config.state_deviation) {
    inverse.push_back(deviation > 1e-6 ? 1 / deviation : 1);  // a value that never changes stays at zero
  }
  mean_ = &store.declare_table("state.mean", config.state_mean);
  inverse_ = &store.declare_table("state.inverse_deviation", std::move(inverse));
}

Tensor StateNormalizer::operator()(Context& context, const Tensor& states) const {
  if (!mean_) return states;
  const Tensor out = context.empty(states.shape());
  visit_float(context.dtype, [&]<class T>(T) {
    const Standardize<T> kernel{.x = states.data<T>(),
                                .mean = mean_->value.data<T>(),
                                .inverse = inverse_->value.data<T>(),
                                .y = out.data<T>(),
                                .width = states.dim(-1)};
    for_elements(context.stream, states.size(), kernel);
  });
  return out;
}

}  // namespace bev
