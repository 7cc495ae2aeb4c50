#include "runtime/ops/token_projection.h"

#include "runtime/ops/linear.h"

namespace bev {

namespace {

struct Sizes {
  int64_t rows, in, inner, out;
};

bool combining_pays(const Sizes& sizes, bool with_backward) {
  const auto rows = static_cast<double>(sizes.rows), in = static_cast<double>(sizes.in),
             inner = static_cast<double>(sizes.inner), out = static_cast<double>(sizes.out);
  // Multiply-adds. Forward and backward: three products of weights and two a token (its output, its share of g),
  // against five products a token (no gradient of x in either form).
  if (with_backward) return 3 * out * inner * in + 2 * rows * out * in < rows * (2 * in * inner + 3 * inner * out);
  return out * inner * in + rows * out * in < rows * (in * inner + inner * out);
}

void product(Context& context, const MatmulShape& shape, const Tensor& a, const Tensor& b, const Tensor& c,
             bool accumulate, const void* bias = nullptr) {
  context.matmul->run(context.stream, context.dtype, shape, a.raw(), b.raw(), c.raw(), 1, accumulate, bias);
}

void combined_backward(Context& context, const Tensor& x, const Tensor& d_z, const LinearParameters& first,
                       const LinearParameters& second, const Sizes& n) {
  const Tensor g = context.empty({n.out, n.in}), s = context.empty({1, n.out});
  product(context, {.m = n.out, .n = n.in, .k = n.rows, .transpose_a = true, .lda = n.out, .ldb = n.in, .ldc = n.in},
          d_z, x, g, false);
  sum_rows(context, d_z, n.rows, n.out, s, false);
  context.tape.add(second.weight, [&](const Tensor& gradient, bool accumulate) {
    product(context, linear_shape(n.out, n.inner, n.in), g, first.weight.value, gradient, accumulate);
    const MatmulShape outer{.m = n.out, .n = n.inner, .k = 1, .lda = 1, .ldb = n.inner, .ldc = n.inner};
    product(context, outer, s, first.bias.value, gradient, true);
  });
  context.tape.add(second.bias, [&](const Tensor& gradient, bool accumulate) {
    sum_rows(context, s, 1, n.out, gradient, accumulate);
  });
  context.tape.add(first.weight, [&](const Tensor& gradient, bool accumulate) {
    const MatmulShape shape{
        .m = n.inner, .n = n.in, .k = n.out, .transpose_a = true, .lda = n.inner, .ldb = n.in, .ldc = n.in};
    product(context, shape, second.weight.value, g, gradient, accumulate);
  });
  context.tape.add(first.bias, [&](const Tensor& gradient, bool accumulate) {
    const MatmulShape shape{.m = 1, .n = n.inner, .k = n.out, .lda = n.out, .ldb = n.inner, .ldc = n.inner};
    product(context, shape, s, second.weight.value, gradient, accumulate);
  });
}

}  // namespace

Variable project_tokens(Context& context, const Tensor& x, const LinearParameters& first,
                        const LinearParameters& second, ProjectionForm form) {
  const Sizes n{.rows = x.size() / first.weight.shape[1],
                .in = first.weight.shape[1],
                .inner = first.weight.shape[0],
                .out = second.weight.shape[0]};
  if (x.dim(-1) != n.in || second.weight.shape[1] != n.inner) {
    fail(ErrorKind::runtime, "tokens {} do not go with {} {} and {} {}", x.shape().text(), first.weight.name,
         first.weight.shape.text(), second.weight.name, second.weight.shape.text());
  }
  if (form == ProjectionForm::automatic)
    form = combining_pays(n, context.tape.recording()) ? ProjectionForm::combined : ProjectionForm::separate;
  if (form == ProjectionForm::separate) {
    const Variable inner = linear(context, Variable(x), first.weight, &first.bias);
    return linear(context, inner, second.weight, &second.bias);
  }

  const Tensor weight = context.empty({n.out, n.in}), bias = context.empty({1, n.out});
  product(context, {.m = n.out, .n = n.in, .k = n.inner, .lda = n.inner, .ldb = n.in, .ldc = n.in}, second.weight.value,
          first.weight.value, weight, false);
  product(context, linear_shape(1, n.out, n.inner), first.bias.value, second.weight.value, bias, false,
          second.bias.value.raw());
  Shape shape;
  for (int i = 0; i + 1 < x.shape().rank(); ++i) shape.append(x.dim(i));
  shape.append(n.out);
  const Variable z = context.tape.output(context.empty(shape));
  product(context, linear_shape(n.rows, n.out, n.in), x, weight, z.value(), false, bias.raw());

  for (Parameter* parameter : {&first.weight, &first.bias, &second.weight, &second.bias}) context.tape.use(*parameter);
  context.tape.record("project_tokens", z, [&context, x, first, second, n, slot = z.gradient()] {
    combined_backward(context, x, Tape::take(slot), first, second, n);
  });
  return z;
}

}  // namespace bev
