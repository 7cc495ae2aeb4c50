// The smallest layers: named parameters and the call of an op. A layer is a plain struct; its constructor declares its
// parameters under the names of the checkpoint, its call operator records on the context's tape.
#pragma once

#include <cmath>
#include <string>

#include "runtime/context.h"
#include "runtime/ops/layer_norm.h"
#include "runtime/ops/linear.h"

namespace bev {

/// How a Linear layer starts: N(0, 0.02) with zero bias in the denoiser and the condition encoder (`model.*`), uniform
/// within 1/sqrt(inputs), bias too, in `obs_encoder` and `feature_encoder`.
enum class LinearInit : uint8_t { narrow_normal, fan_in_uniform, zero };

struct Linear {
  Parameter *weight, *bias;

  Linear(ParameterStore& store, const std::string& name, int64_t in, int64_t out, LinearInit init) {
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    Init weight_init = Init::constant(0), bias_init = Init::constant(0);
    if (init == LinearInit::narrow_normal) weight_init = Init::normal(0.02);
    if (init == LinearInit::fan_in_uniform) weight_init = bias_init = Init::uniform(bound);
    weight = &store.declare(name + ".weight", {out, in}, weight_init);
    bias = &store.declare(name + ".bias", {out}, bias_init);
  }
  Variable operator()(Context& context, const Variable& x) const { return linear(context, x, *weight, bias); }
};

struct LayerNorm {
  Parameter *weight, *bias;

  LayerNorm(ParameterStore& store, const std::string& name, int64_t width)
      : weight(&store.declare(name + ".weight", {width}, Init::constant(1))),
        bias(&store.declare(name + ".bias", {width}, Init::constant(0))) {}
  Variable operator()(Context& context, const Variable& x, const Modulation* modulation = nullptr) const {
    return layer_norm(context, x, *weight, *bias, modulation);
  }
};

}  // namespace bev
