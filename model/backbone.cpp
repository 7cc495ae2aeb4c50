#include "model/backbone.h"

#include <cmath>

#include "runtime/ops/convolution.h"
#include "runtime/ops/pool.h"

namespace bev {

namespace {

int64_t checked_half(int64_t channels) {
  if (channels < 2 || channels % 2 != 0) {
    fail(ErrorKind::usage, "bev_encoder.base_channels is {}: expected a positive even number, since the stem has half",
         channels);
  }
  return channels / 2;
}

std::array<BasicBlock, 2> make_stage(ParameterStore& store, const std::string& name, int64_t in, int64_t out,
                                     int64_t stride, const BackboneOptions& options) {
  return {BasicBlock(store, name + ".0", in, out, stride, options),
          BasicBlock(store, name + ".1", out, out, 1, options)};
}

}  // namespace

ConvolutionNorm::ConvolutionNorm(ParameterStore& store, const std::string& convolution_name,
                                 const std::string& norm_name, int64_t in, int64_t out, int64_t size,
                                 int64_t convolution_stride, const BackboneOptions& options)
    : stride(convolution_stride), padding(size / 2), frozen(options.frozen), synchronised(options.synchronised) {
  // Kaiming normal for ReLU: variance 2 / (inputs that one input reaches) keeps gradients at their size (He et al.
  // 2015, section 2.2).
  const double deviation = std::sqrt(2 / static_cast<double>(out * size * size));
  filter =
      &store.declare(convolution_name + ".weight", {out, size, size, in}, Init::normal(deviation), FileLayout::filter);
  norm = {.gamma = &store.declare(norm_name + ".weight", {out}, Init::constant(1)),
          .beta = &store.declare(norm_name + ".bias", {out}, Init::constant(0)),
          .running_mean = &store.declare_buffer(norm_name + ".running_mean", {out}, 0),
          .running_variance = &store.declare_buffer(norm_name + ".running_var", {out}, 1)};
  for (Parameter* parameter : {filter, norm.gamma, norm.beta}) parameter->trainable = !frozen;
}

Variable ConvolutionNorm::operator()(Context& context, const Variable& x, bool relu, const Variable* residual) const {
  const BatchNormOptions options{.of_batch = context.training && !frozen, .synchronised = synchronised, .relu = relu};
  return batch_norm(context, convolution(context, x, *filter, stride, padding), norm, options, residual);
}

BasicBlock::BasicBlock(ParameterStore& store, const std::string& name, int64_t in, int64_t out, int64_t stride,
                       const BackboneOptions& options)
    : first(store, name + ".conv1", name + ".bn1", in, out, 3, stride, options),
      second(store, name + ".conv2", name + ".bn2", out, out, 3, 1, options) {
  if (stride != 1) projection.emplace(store, name + ".downsample.1", name + ".downsample.2", in, out, 1, 1, options);
}

Variable BasicBlock::operator()(Context& context, const Variable& x) const {
  // The shortcut first: so backward comes to it last, and the pool's gradient is added to the convolution's, which is
  // cheaper than the other way round.
  const Variable shortcut = projection ? (*projection)(context, average_pool(context, x), false) : x;
  return second(context, first(context, x, true), true, &shortcut);
}

Backbone::Backbone(ParameterStore& store, const std::string& name, const BackboneOptions& options)
    : stem_0(store, name + ".conv1.0", name + ".conv1.1", 3, checked_half(options.channels), 3, 2, options),
      stem_3(store, name + ".conv1.3", name + ".conv1.4", options.channels / 2, options.channels / 2, 3, 1, options),
      stem_6(store, name + ".conv1.6", name + ".bn1", options.channels / 2, options.channels, 3, 1, options),
      stages{make_stage(store, name + ".layer1", options.channels, options.channels, 1, options),
             make_stage(store, name + ".layer2", options.channels, 2 * options.channels, 2, options),
             make_stage(store, name + ".layer3", 2 * options.channels, 4 * options.channels, 2, options),
             make_stage(store, name + ".layer4", 4 * options.channels, 8 * options.channels, 2, options)} {}

Variable Backbone::operator()(Context& context, const Tensor& images) const {
  const Scope scope(context.tape, "perception");
  Variable x(images);
  for (const ConvolutionNorm* layer : {&stem_0, &stem_3, &stem_6}) {
    const Scope part(context.tape, "stem");
    x = (*layer)(context, x, true);
  }
  x = max_pool(context, x);
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    for (size_t block = 0; block < 2; ++block) {
      const Scope part(context.tape, fmt::format("layer{}.{}", stage + 1, block));
      x = stages[stage][block](context, x);
    }
  }
  return x;
}

}  // namespace bev
