// The gated recurrent unit as a layer (runtime/ops/gru.h), by the names that checkpoints know.
#pragma once

#include <string>

#include "runtime/ops/gru.h"

namespace bev {

struct Gru {
  GruWeights weights;

  /// Parameters NAME.{weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0}.
  Gru(ParameterStore& store, const std::string& name, int64_t in, int64_t width)
      : weights{.weight_ih = &store.declare(name + ".weight_ih_l0", {3 * width, in}, Init::xavier_uniform()),
                .weight_hh = &store.declare(name + ".weight_hh_l0", {3 * width, width}, Init::orthogonal()),
                .bias_ih = &store.declare(name + ".bias_ih_l0", {3 * width}, Init::constant(0)),
                .bias_hh = &store.declare(name + ".bias_hh_l0", {3 * width}, Init::constant(0))} {}

  /// x [B, T, in], h0 [B, E]; returns all hidden states [B, T, E].
  Variable operator()(Context& context, const Variable& x, const Variable& h0) const {
    return gru(context, x, weights, h0);
  }
  /// From a hidden state of zero to the last one, [B, E].
  Variable last(Context& context, const Variable& x) const { return gru_last(context, x, weights); }
};

}  // namespace bev
