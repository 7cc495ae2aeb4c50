#include "model/transformer_layer.h"

#include "runtime/ops/activation.h"
#include "runtime/ops/few_key_attention.h"

namespace bev {

EncoderLayer::EncoderLayer(ParameterStore& store, const std::string& name, int64_t width, int64_t heads, double dropout)
    : norm1(store, name + ".norm1", width),
      norm2(store, name + ".norm2", width),
      in_weight(&store.declare(name + ".self_attn.in_proj_weight", {3 * width, width}, Init::normal(0.02))),
      in_bias(&store.declare(name + ".self_attn.in_proj_bias", {3 * width}, Init::constant(0))),
      out(store, name + ".self_attn.out_proj", width, width, LinearInit::narrow_normal),
      linear1(store, name + ".linear1", width, 4 * width, LinearInit::narrow_normal),
      linear2(store, name + ".linear2", 4 * width, width, LinearInit::narrow_normal),
      heads(heads),
      dropout(dropout) {}

Variable EncoderLayer::operator()(Context& context, const Variable& x) const {
  const Variable qkv = linear(context, norm1(context, x), *in_weight, in_bias);
  const Variable attended = out(context, packed_self_attention(context, qkv, heads, dropout));
  const Variable y = add_dropout(context, x, attended, dropout);
  const Variable hidden = activate(context, linear1(context, norm2(context, y)), Activation::gelu, dropout);
  return add_dropout(context, y, linear2(context, hidden), dropout);
}

}  // namespace bev
