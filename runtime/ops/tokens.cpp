#include "runtime/ops/tokens.h"

#include "kernels/launch.h"
#include "kernels/tokens.h"

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

/// Adds rows `first` .. `first + count - 1` of every sample of d_y [samples, tokens, width] to the gradient of a part.
void add_part(Context& context, const Tensor& d_y, int64_t tokens, int64_t first, int64_t count, int64_t width,
              const Tensor& d_x, bool accumulate) {
  visit_float(context.dtype, [&]<class T>(T) {
    const PartOfTokens<T> kernel{.d_y = d_y.data<T>(),
                                 .d_x = d_x.data<T>(),
                                 .tokens = tokens,
                                 .first = first,
                                 .count = count,
                                 .width = width,
                                 .accumulate = accumulate};
    for_rows(context.stream, d_x.size() / width, width, kernel);
  });
}

void add_position(Context& context, const Tensor& d_y, int64_t samples, Parameter& position) {
  context.tape.add(position, [&](const Tensor& gradient, bool accumulate) {
    visit_float(context.dtype, [&]<class T>(T) {
      using Kernel = PositionGradient<T>;
      const Tensor workspace = context.empty({columns_workspace<Kernel>(samples, position.size())});
      const Kernel kernel{.d_y = d_y.data<T>(),
                          .d_position = gradient.data<T>(),
                          .used = d_y.size() / samples,
                          .accumulate = accumulate};
      for_columns(context.stream, samples, position.size(), workspace.data<T>(), kernel);
    });
  });
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
  const int64_t samples = parts.front().dim(0), width = parts.front().dim(2);
  int64_t tokens = 0;
  for (const Variable& part : parts) tokens += part.dim(1);
  if (parts.size() > JoinTokens<float>::parts_at_most)
    fail(ErrorKind::runtime, "{} sets of tokens cannot be joined: at most {}", parts.size(),
         JoinTokens<float>::parts_at_most);
  if (position && position->size() < tokens * width)
    fail(ErrorKind::runtime, "{} {} has too few rows for {} tokens", position->name, position->shape.text(), tokens);

  const Variable y = context.tape.output(context.empty({samples, tokens, width}));
  visit_float(context.dtype, [&]<class T>(T) {
    JoinTokens<T> kernel{.x = {},
                         .boundary = {},
                         .parts = static_cast<int>(parts.size()),
                         .position = position ? position->value.data<T>() : nullptr,
                         .y = y.value().data<T>(),
                         .width = width};
    for (size_t i = 0; i < parts.size(); ++i) {
      kernel.x[i] = parts[i].value().data<T>();
      kernel.boundary[i + 1] = kernel.boundary[i] + parts[i].dim(1);
    }
    for_rows(context.stream, samples * tokens, width, kernel);
  });

  struct Part {
    Gradient gradient;
    int64_t tokens;
  };
  std::vector<Part> gradients;
  for (const Variable& part : parts) gradients.push_back({part.gradient(), part.dim(1)});
  if (position) context.tape.use(*position);
  context.tape.record("join_tokens", y, [&context, gradients, position, samples, tokens, width, slot = y.gradient()] {
    const Tensor d_y = Tape::take(slot);
    int64_t first = 0;
    for (const Part& part : gradients) {
      context.tape.add(part.gradient, [&](const Tensor& gradient, bool accumulate) {
        add_part(context, d_y, tokens, first, part.tokens, width, gradient, accumulate);
      });
      first += part.tokens;
    }
    if (position) add_position(context, d_y, samples, *position);
  });
  return y;
}

Variable as_variable(Context& context, Parameter& parameter) {
  const Variable y = context.tape.output(parameter.value);
  context.tape.use(parameter);
  context.tape.record("as_variable", y, [&context, &parameter, slot = y.gradient()] {
    const Tensor d_y = Tape::take(slot);
    context.tape.add(parameter, [&](const Tensor& gradient, bool accumulate) {
      add_part(context, d_y, 1, 0, 1, d_y.size(), gradient, accumulate);
    });
  });
  return y;
}

}  // namespace bev
