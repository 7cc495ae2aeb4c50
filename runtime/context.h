// What an op needs to run: where (stream), with what memory (arena), with which libraries, and the tape it records on.
// A replica owns one Context; a CPU test makes its own in one line (tests/support/cpu_context.h). Nothing here is
// shared between replicas.
#pragma once

#include <memory>

#include "kernels/step_state.h"
#include "kernels/stream.h"
#include "runtime/arena.h"
#include "runtime/convolution.h"
#include "runtime/matmul.h"
#include "runtime/statistics_reducer.h"
#include "runtime/tape.h"

namespace bev {

class Context {
 public:
  /// `state` lies in the device's memory and outlives the context. `dtype` is what the model computes in: f32, or f64
  /// on the CPU.
  Context(const Stream& stream, std::shared_ptr<Arena> arena, std::shared_ptr<MatmulEngine> matmul,
          std::shared_ptr<ConvolutionEngine> convolution, const StepState* state, DType dtype)
      : stream(stream),
        arena(std::move(arena)),
        matmul(std::move(matmul)),
        convolution(std::move(convolution)),
        state(state),
        dtype(dtype),
        tape([this](const Shape& shape, DType type) { return empty(shape, type); }) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  /// Uninitialised memory that lives until the last handle goes.
  Tensor empty(const Shape& shape, DType type) {
    arena->set_label(tape.scope());
    return Tensor(arena->allocate(static_cast<size_t>(shape.elements()) * size_of(type)), shape, type);
  }
  Tensor empty(const Shape& shape) { return empty(shape, dtype); }
  /// Memory for an op's output: `into`, where its caller has chosen some (dense, of as many elements), else new memory.
  Tensor output_memory(const Tensor& into, const Shape& shape) {
    return into.defined() ? into.view(shape) : empty(shape);
  }

  /// An identifier for the next place in this step that draws random numbers. Forward passes visit places in the same
  /// order, so a place has the same number in every step and on every replica.
  uint32_t next_random_place() { return next_random_places(1); }
  /// The first of `count` consecutive places.
  uint32_t next_random_places(int64_t count) {
    const uint32_t first = random_places_;
    random_places_ += static_cast<uint32_t>(count);
    return first;
  }
  void restart_random_places() { random_places_ = 0; }

  Stream stream;
  std::shared_ptr<Arena> arena;
  std::shared_ptr<MatmulEngine> matmul;
  std::shared_ptr<ConvolutionEngine> convolution;
  const StepState* state;
  DType dtype;
  bool training = true;                     // dropout draws, batch norm uses the batch's statistics
  StatisticsReducer* statistics = nullptr;  // of synchronised batch norm; null: this replica is alone. Not owned
  Tape tape;

 private:
  uint32_t random_places_ = 0;
};

}  // namespace bev
