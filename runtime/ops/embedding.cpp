#include "runtime/ops/embedding.h"

#include "kernels/embedding.h"
#include "kernels/launch.h"
#include "runtime/ops/copy.h"
#include "runtime/ops/linear.h"

namespace bev {

namespace {

/// Adds to a parameter's gradient, or overwrites it with, `rows` [count, width], that of its rows from `first` on.
void add_some_rows(Context& context, Parameter& parameter, const Tensor& rows, int64_t first) {
  context.tape.add(parameter, [&](const Tensor& gradient, bool accumulate) {
    const int64_t width = rows.dim(1);
    if (!accumulate && rows.size() < gradient.size()) fill(context, gradient, 0);
    copy_rows(context, rows.dim(0), 1, width, {rows, 0, width, 0}, {gradient, first * width, width, 0}, accumulate);
  });
}

struct JoinedPart {
  Gradient features;
  Parameter *position, *segment;
  int64_t first_position, tokens;
};

/// The gradients of one part's embeddings, d_y being the whole sequence's; `first` is the part's first token.
void embedding_gradients(Context& context, const Tensor& d_y, int64_t first, const JoinedPart& part) {
  if (!part.position && !part.segment) return;
  const int64_t samples = d_y.dim(0), width = d_y.dim(2), tokens = part.tokens, columns = tokens * width;
  const Tensor sums = context.empty({tokens, width});  // over samples
  visit_float(context.dtype, [&]<class T>(T) {
    using Kernel = SampleSum<T>;
    const Tensor workspace = context.empty({columns_workspace<Kernel>(samples, columns)});
    const Kernel kernel{.d = d_y.data<T>() + first * width, .out = sums.data<T>(), .sample = d_y.dim(1) * width};
    for_columns(context.stream, samples, columns, workspace.data<T>(), kernel);
  });
  if (part.position) add_some_rows(context, *part.position, sums, part.first_position);
  if (!part.segment) return;
  context.tape.add(*part.segment, [&](const Tensor& gradient, bool accumulate) {
    sum_rows(context, sums, tokens, width, gradient, accumulate);
  });
}

}  // namespace

Variable embed_tokens(Context& context, std::span<const TokenPart> parts) {
  const int64_t samples = parts.front().features.dim(0), width = parts.front().features.dim(2);
  int64_t total = 0;
  std::vector<JoinedPart> joined;
  for (const TokenPart& part : parts) {
    const int64_t tokens = part.features.dim(1);
    if (part.position && part.position->shape[1] < part.first_position + tokens) {
      fail(ErrorKind::runtime, "{} {} has too few rows for {} tokens", part.position->name, part.position->shape.text(),
           part.first_position + tokens);
    }
    joined.push_back({part.features.gradient(), part.position, part.segment, part.first_position, tokens});
    total += tokens;
  }
  const Variable y = context.tape.output(context.empty({samples, total, width}));
  int64_t first = 0;
  for (const TokenPart& part : parts) {
    const int64_t tokens = part.features.dim(1);
    visit_float(context.dtype, [&]<class T>(T) {
      const PlaceTokens<T> kernel{
          .x = part.features.value().data<T>(),
          .position = part.position ? part.position->value.data<T>() + part.first_position * width : nullptr,
          .segment = part.segment ? part.segment->value.data<T>() : nullptr,
          .y = y.value().data<T>() + first * width,
          .width = width,
          .tokens = tokens,
          .y_sample = total * width};
      for_rows(context.stream, samples * tokens, width, kernel);
    });
    first += tokens;
    if (part.position) context.tape.use(*part.position);
    if (part.segment) context.tape.use(*part.segment);
  }
  context.tape.record("embed_tokens", y, [&context, joined, slot = y.gradient()] {
    const Tensor d_y = Tape::take(slot);
    const int64_t length = d_y.dim(1) * d_y.dim(2), token = d_y.dim(2);
    int64_t at = 0;
    for (const JoinedPart& part : joined) {
      embedding_gradients(context, d_y, at, part);
      context.tape.add(part.features, [&](const Tensor& gradient, bool accumulate) {
        copy_rows(context, d_y.dim(0), part.tokens, token, {d_y, at * token, length, token},
                  {gradient, 0, part.tokens * token, token}, accumulate);
      });
      at += part.tokens;
    }
  });
  return y;
}

Variable slice_tokens(Context& context, const Variable& x, int64_t first, int64_t count) {
  const int64_t samples = x.dim(0), tokens = x.dim(1), width = x.dim(2);
  if (first < 0 || first + count > tokens) {
    fail(ErrorKind::runtime, "tokens {} and {} more are not all in {}", first, count, x.shape().text());
  }
  const Variable y = context.tape.output(context.empty({samples, count, width}));
  copy_rows(context, samples, count, width, {x.value(), first * width, tokens * width, width},
            {y.value(), 0, count * width, width});
  context.tape.record("slice_tokens", y,
                      [&context, d_x = x.gradient(), slot = y.gradient(), samples, tokens, width, first, count] {
                        const Tensor d_y = Tape::take(slot);
                        context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
                          if (!accumulate && count < tokens) fill(context, gradient, 0);
                          copy_rows(context, samples, count, width, {d_y, 0, count * width, width},
                                    {gradient, first * width, tokens * width, width}, accumulate);
                        });
                      });
  return y;
}

std::vector<Variable> split_columns(Context& context, const Variable& x, int64_t count) {
  const int64_t rows = x.dim(0), width = x.dim(1) / count;
  const Variable y = context.tape.output(context.empty({count * rows, width}));
  const auto interleaved = [=](const Tensor& tensor) { return RowGrid{tensor, 0, width, count * width}; };
  const auto stacked = [=](const Tensor& tensor) { return RowGrid{tensor, 0, rows * width, width}; };
  copy_rows(context, count, rows, width, interleaved(x.value()), stacked(y.value()));
  context.tape.record("split_columns", y, [=, &context, d_x = x.gradient(), slot = y.gradient()] {
    const Tensor d_y = Tape::take(slot);
    context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
      copy_rows(context, count, rows, width, stacked(d_y), interleaved(gradient), accumulate);
    });
  });
  return context.tape.parts(y, count);
}

namespace {

void add_time(Context& context, const Tensor& x, const int64_t* times, int64_t time, const Tensor& y) {
  const int64_t width = x.dim(-1);
  visit_float(context.dtype, [&]<class T>(T) {
    const AddTimeEmbedding<T> kernel{.x = x.data<T>(), .times = times, .time = time, .y = y.data<T>(), .width = width};
    for_rows(context.stream, x.size() / width, width, kernel);
  });
}

}  // namespace

Variable add_time_embedding(Context& context, const Variable& x, const Tensor& times) {
  if (times.size() != x.dim(0)) {
    fail(ErrorKind::runtime, "{} diffusion times for {} samples", times.size(), x.dim(0));
  }
  const Variable y = context.tape.output(context.empty(x.shape()));
  add_time(context, x.value(), times.data<int64_t>(), 0, y.value());
  context.tape.record("add_time_embedding", y, [&context, d_x = x.gradient(), slot = y.gradient()] {
    pass_gradient(context, d_x, Tape::take(slot));
  });
  return y;
}

Tensor add_time_embeddings(Context& context, const Tensor& x, std::span<const int64_t> times) {
  const int64_t samples = x.dim(0), width = x.dim(1), count = static_cast<int64_t>(times.size());
  const Tensor y = context.empty({count, samples, width});
  for (int64_t k = 0; k < count; ++k) {
    add_time(context, x, nullptr, times[static_cast<size_t>(k)], y.part(k * x.size(), x.shape()));
  }
  return y;
}

}  // namespace bev
