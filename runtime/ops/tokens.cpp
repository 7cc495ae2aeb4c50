#include "runtime/ops/tokens.h"

#include "kernels/launch.h"
#include "kernels/tokens.h"
#include "runtime/ops/copy.h"
#include "runtime/ops/embedding.h"

namespace bev {

namespace {

/// Calls `body(Stored{})` with the C++ type of a stored element.
template <class Body>
void visit_stored(DType type, Body&& body) {
  switch (type) {
    case DType::bf16:
      return body(uint16_t{});
    case DType::f32:
      return body(float{});
    case DType::f64:
      return body(double{});
    default:
      fail(ErrorKind::data, "tokens of type {} are not supported: expected BF16, F32 or F64", name_of(type));
  }
}

}  // namespace

Tensor to_compute_type(Context& context, const Tensor& x) {
  if (x.dtype() == context.dtype) return x;
  const Tensor y = context.empty(x.shape());
  visit_float(context.dtype, [&]<class T>(T) {
    visit_stored(x.dtype(), [&]<class Stored>(Stored) {
      if constexpr (!std::is_same_v<T, Stored>) {
        for_elements(context.stream, x.size(), ConvertElements<T, Stored>{x.data<Stored>(), y.data<T>()});
      }
    });
  });
  return y;
}

Tensor valid_tokens(Context& context, int64_t samples, const std::vector<MaskedSet>& sets) {
  int64_t tokens = 0;
  for (const MaskedSet& set : sets) tokens += set.tokens;
  const Tensor mask = context.empty({samples, tokens}, DType::u8);
  MaskColumns columns{.mask = mask.data<uint8_t>(), .first = 0, .tokens = 0, .stride = tokens};
  for (const MaskedSet& set : sets) {
    columns.tokens = set.tokens;
    if (set.valid.defined()) {
      for_elements(context.stream, samples * set.tokens, CopyMask{set.valid.data<uint8_t>(), columns});
    } else if (set.data.defined()) {
      visit_stored(set.data.dtype(), [&]<class Stored>(Stored) {
        const FindValidTokens<Stored> kernel{.x = set.data.data<Stored>(), .out = columns, .width = set.data.dim(2)};
        for_rows(context.stream, samples * set.tokens, kernel.width, kernel);
      });
    } else {
      for_elements(context.stream, samples * set.tokens, CopyMask{nullptr, columns});
    }
    columns.first += set.tokens;
  }
  const MaskColumns all{.mask = columns.mask, .first = 0, .tokens = tokens, .stride = tokens};
  for_rows(context.stream, samples, tokens, UnmaskIfEmpty{all});
  return mask;
}

Variable join_tokens(Context& context, const std::vector<Variable>& parts, Parameter* position) {
  std::vector<TokenPart> joined;
  int64_t first = 0;
  for (const Variable& part : parts) {
    joined.push_back({.features = part, .position = position, .first_position = first});
    first += part.dim(1);
  }
  return embed_tokens(context, joined);
}

Variable as_variable(Context& context, Parameter& parameter) {
  const Variable y = context.tape.output(parameter.value);
  context.tape.use(parameter);
  context.tape.record("as_variable", y, [&context, &parameter, slot = y.gradient()] {
    const Tensor d_y = Tape::take(slot);
    context.tape.add(parameter, [&](const Tensor& gradient, bool accumulate) {
      const int64_t width = d_y.dim(-1), rows = d_y.size() / width;
      copy_rows(context, rows, 1, width, {d_y, 0, width, 0}, {gradient, 0, width, 0}, accumulate);
    });
  });
  return y;
}

}  // namespace bev
