#include "runtime/ops/head_products.h"

#include <utility>

namespace bev {

namespace {

/// One operand of a product that is repeated over samples and heads: its first element, and the strides of both.
struct Operand {
  std::byte* first;
  int64_t sample, head;
};

Operand operand(const Tensor& tensor, int64_t sample, int64_t head, int64_t first = 0) {
  return {static_cast<std::byte*>(tensor.raw()) + static_cast<size_t>(first) * size_of(tensor.dtype()), sample, head};
}

/// Runs `shape` for every head of every sample: the library repeats over the longer of the two.
void run(Context& context, MatmulShape shape, int64_t samples, int64_t heads, Operand a, Operand b, Operand c,
         double alpha, bool accumulate) {
  const auto element = static_cast<int64_t>(size_of(context.dtype));
  if (samples < heads) {
    std::swap(samples, heads);
    for (Operand* each : {&a, &b, &c}) std::swap(each->sample, each->head);
  }
  shape.batch = samples;
  shape.stride_a = a.sample;
  shape.stride_b = b.sample;
  shape.stride_c = c.sample;
  for (int64_t i = 0; i < heads; ++i) {
    context.matmul->run(context.stream, context.dtype, shape, a.first + i * a.head * element,
                        b.first + i * b.head * element, c.first + i * c.head * element, alpha, accumulate, nullptr);
  }
}

/// The same products in either form: `count` = rows that one product has, from `heads` heads of `slice` elements.
struct Geometry {
  int64_t count, heads, slice;      // rows of x in one product; how many products a sample, over how much of E
  int64_t x_sample, x_head, x_row;  // strides of x
  int64_t w_sample, w_head, w_row;  // strides of w

  Geometry(const HeadProducts& p, bool x_has_all_samples)
      : count(p.by_head ? p.rows : p.rows * p.heads),
        heads(p.by_head ? p.heads : 1),
        slice(p.width / heads),
        x_sample(x_has_all_samples || !p.shared ? p.operand(1).elements() : 0),
        x_head(slice),
        x_row(p.width),
        w_sample(p.rows * p.heads * p.row),
        w_head(p.row),
        w_row(p.by_head ? p.heads * p.row : p.row) {}
};

}  // namespace

void score_keys(Context& context, const HeadProducts& products, const Tensor& x, const std::vector<Variable>& sets,
                const Tensor& w, double alpha, bool accumulate) {
  const Geometry g(products, false);
  int64_t first = 0;
  for (const Variable& set : sets) {
    const int64_t tokens = set.dim(1), width = products.width;
    const MatmulShape shape{
        .m = g.count, .n = tokens, .k = g.slice, .transpose_b = true, .lda = g.x_row, .ldb = width, .ldc = g.w_row};
    run(context, shape, products.samples, g.heads, operand(x, g.x_sample, g.x_head),
        operand(set.value(), tokens * width, g.slice), operand(w, g.w_sample, g.w_head, first), alpha, accumulate);
    first += tokens;
  }
}

void weigh_tokens(Context& context, const HeadProducts& products, const Tensor& w, const std::vector<Variable>& sets,
                  const Tensor& x, double alpha, bool accumulate) {
  const Geometry g(products, true);
  int64_t first = 0;
  for (const Variable& set : sets) {
    const int64_t tokens = set.dim(1), width = products.width;
    const MatmulShape shape{.m = g.count, .n = g.slice, .k = tokens, .lda = g.w_row, .ldb = width, .ldc = g.x_row};
    run(context, shape, products.samples, g.heads, operand(w, g.w_sample, g.w_head, first),
        operand(set.value(), tokens * width, g.slice), operand(x, g.x_sample, g.x_head), alpha,
        accumulate || first > 0);
    first += tokens;
  }
}

void add_token_gradients(Context& context, const HeadProducts& products, const Tensor& w, const Tensor& x,
                         const std::vector<Variable>& sets, double alpha) {
  const Geometry g(products, false);
  int64_t first = 0;
  for (const Variable& set : sets) {
    const int64_t tokens = set.dim(1), width = products.width;
    const MatmulShape shape{
        .m = tokens, .n = g.slice, .k = g.count, .transpose_a = true, .lda = g.w_row, .ldb = g.x_row, .ldc = width};
    context.tape.add(set.gradient(), [&](const Tensor& gradient, bool accumulate) {
      run(context, shape, products.samples, g.heads, operand(w, g.w_sample, g.w_head, first),
          operand(x, g.x_sample, g.x_head), operand(gradient, tokens * width, g.slice), alpha, accumulate);
    });
    first += tokens;
  }
}

}  // namespace bev
