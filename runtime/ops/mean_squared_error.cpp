#include "runtime/ops/mean_squared_error.h"

#include "kernels/diffusion.h"
#include "kernels/launch.h"

namespace bev {

Variable mean_squared_error(Context& context, const Variable& prediction, const Tensor& target) {
  const int64_t n = prediction.size();
  const Variable loss = context.tape.output(context.empty({1}));
  visit_float(context.dtype, [&]<class T>(T) {
    const MeanSquaredError<T> kernel{
        .prediction = prediction.value().data<T>(), .target = target.data<T>(), .loss = loss.value().data<T>(), .n = n};
    for_rows(context.stream, 1, n, kernel);
  });
  context.tape.record(
      "mean_squared_error", loss,
      [&context, saved = prediction.value(), target, n, d_x = prediction.gradient(), slot = loss.gradient()] {
        const Tensor d_loss = Tape::take(slot);
        context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
          visit_float(context.dtype, [&]<class T>(T) {
            const MeanSquaredErrorBackward<T> kernel{.prediction = saved.data<T>(),
                                                     .target = target.data<T>(),
                                                     .d_loss = d_loss.data<T>(),
                                                     .d_prediction = gradient.data<T>(),
                                                     .n = n,
                                                     .accumulate = accumulate};
            for_elements(context.stream, n, kernel);
          });
        });
      });
  return loss;
}

}  // namespace bev
