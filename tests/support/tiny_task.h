// A task small enough to train in a blink and complete enough to show what can go wrong: two Linear layers with dropout
// between them, a running statistic, a parameter that no loss reaches, and a data set that is a function of the
// sample's number. On the CPU, in float or double.
#pragma once

#include <cmath>
#include <limits>
#include <memory>
#include <set>

#include "runtime/ops/activation.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/mean_squared_error.h"
#include "runtime/train/task.h"

namespace bev::test {

inline constexpr int64_t tiny_inputs = 5, tiny_outputs = 3;

inline std::vector<FieldSpec> tiny_fields(DType dtype) {
  return {{"x", dtype, {tiny_inputs}}, {"target", dtype, {tiny_outputs}}};
}

struct TinyTask final : Task {
  Parameter *weight1, *bias1, *weight2, *bias2, *running_mean;
  double metric_scale = 1;  // of what validation reports

  explicit TinyTask(ParameterStore& store, int64_t hidden = 24) {
    weight1 = &store.declare("net.0.weight", {hidden, tiny_inputs}, Init::uniform(0.5));
    bias1 = &store.declare("net.0.bias", {hidden}, Init::constant(0));
    store.declare("unused", {7}, Init::normal(1));
    weight2 = &store.declare("net.2.weight", {tiny_outputs, hidden}, Init::normal(0.2));
    bias2 = &store.declare("net.2.bias", {tiny_outputs}, Init::constant(0));
    running_mean = &store.declare_buffer("running_mean", {tiny_inputs}, 0);
  }

  Variable predict(Context& context, const Batch& batch) {
    const Scope scope(context.tape, "net");
    Variable h = linear(context, Variable(batch.at("x").view({batch.size, tiny_inputs})), *weight1, bias1);
    h = activate(context, h, Activation::gelu, 0.2);
    return linear(context, h, *weight2, bias2);
  }

  Variable loss(Context& context, const Batch& batch) override {
    follow_mean(context, batch);
    return mean_squared_error(context, predict(context, batch), batch.at("target"));
  }

  void validate(Context& context, const Batch& batch, MetricSums& sums) override {
    const Tensor y = predict(context, batch).value();
    if (context.stream.kind == DeviceKind::dry) return;
    for (int64_t i = 0; i < batch.size; ++i) {
      if (batch.samples[static_cast<size_t>(i)] < 0) continue;
      double square = 0;
      visit_float(context.dtype, [&]<class T>(T) {
        for (int64_t j = i * tiny_outputs; j < (i + 1) * tiny_outputs; ++j) {
          square += std::pow(y.data<T>()[j] - batch.at("target").data<T>()[j], 2);
        }
      });
      sums.add("L2_avg", metric_scale * std::sqrt(square), 1);
    }
  }

 private:
  /// What batch norm does to its running mean.
  void follow_mean(Context& context, const Batch& batch) const {
    if (context.stream.kind == DeviceKind::dry || !context.training) return;
    visit_float(context.dtype, [&]<class T>(T) {
      for (int64_t j = 0; j < tiny_inputs; ++j) {
        T sum = 0;
        for (int64_t i = 0; i < batch.size; ++i) sum += batch.at("x").data<T>()[i * tiny_inputs + j];
        T& mean = running_mean->value.data<T>()[j];
        mean += T(0.1) * (sum / static_cast<T>(batch.size) - mean);
      }
    });
  }
};

/// Fills batches of tiny samples.
class TinyBatches {
 public:
  TinyBatches(DType dtype, int64_t size) : fields_(tiny_fields(dtype)) {
    for (Batch& batch : batches_) {
      batch.size = size;
      batch.samples.resize(static_cast<size_t>(size));
      for (const FieldSpec& field : fields_) {
        const Shape shape{size, field.shape[0]};
        batch.fields.push_back(
            {field.name, Tensor(std::make_shared<double[]>(static_cast<size_t>(shape.elements())), shape, dtype)});
      }
    }
  }

  const std::vector<FieldSpec>& fields() const { return fields_; }
  /// A batch whose numbers are set; the two handed out last stay as they are.
  Batch& next() { return batches_[next_ = (next_ + 1) % batches_.size()]; }
  void fill(Batch& batch, const std::set<int64_t>& poisoned) const {
    for (int64_t i = 0; i < batch.size; ++i) {
      const int64_t sample = batch.samples[static_cast<size_t>(i)];
      visit_float(fields_[0].dtype, [&]<class T>(T) {
        T* x = batch.at("x").data<T>() + i * tiny_inputs;
        T* target = batch.at("target").data<T>() + i * tiny_outputs;
        for (int64_t j = 0; j < tiny_inputs; ++j) x[j] = static_cast<T>(std::sin(0.7 * sample + 1.9 * j));
        for (int64_t j = 0; j < tiny_outputs; ++j) target[j] = x[j] * x[j + 1] + T(0.3);
        if (poisoned.contains(sample)) x[2] = std::numeric_limits<T>::quiet_NaN();
      });
    }
  }

 private:
  std::vector<FieldSpec> fields_;
  std::array<Batch, 3> batches_;
  size_t next_ = 0;
};

/// Training batches: in each epoch the samples in another order, dealt to replicas.
class TinySource final : public BatchSource {
 public:
  TinySource(DType dtype, const Share& share, int64_t samples)
      : share_(share), samples_(samples), batches_(dtype, share.micro_batch) {}

  const std::vector<FieldSpec>& fields() const override { return batches_.fields(); }
  int64_t steps_an_epoch() const override { return samples_ / share_.global_batch(); }
  void seek(int64_t step) override { micro_ = step * share_.accumulation; }
  const Batch& next() override {
    const int64_t step = micro_ / share_.accumulation, epoch = step / steps_an_epoch();
    const int64_t begin = step % steps_an_epoch() * share_.global_batch() + share_.offset(micro_ % share_.accumulation);
    Batch& batch = batches_.next();
    for (int64_t i = 0; i < batch.size; ++i) {
      batch.samples[static_cast<size_t>(i)] = ((begin + i) * 7 + epoch * 13) % samples_;  // 7 divides no test's set
    }
    batches_.fill(batch, poisoned);
    ++micro_;
    if (before_next) before_next(step);
    return batch;
  }
  double take_waiting_seconds() override { return 0; }

  std::set<int64_t> poisoned;                          // samples with a NaN
  std::function<void(int64_t step)> before_next = {};  // called whenever a batch is handed out

 private:
  Share share_;
  int64_t samples_, micro_ = 0;
  TinyBatches batches_;
};

/// One replica's share of samples 1000 .. 1000 + samples - 1: every n-th.
class TinyValidation final : public ValidationSource {
 public:
  TinyValidation(DType dtype, int64_t batch, int64_t samples, int replica, int replicas)
      : total_(samples), replica_(replica), replicas_(replicas), batches_(dtype, batch) {}

  const std::vector<FieldSpec>& fields() const override { return batches_.fields(); }
  int64_t samples() const override { return (total_ - replica_ + replicas_ - 1) / replicas_; }
  void restart() override { position_ = 0; }
  const Batch* next() override {
    if (position_ >= samples()) return nullptr;
    Batch& batch = batches_.next();
    for (int64_t& sample : batch.samples) {
      sample = position_ < samples() ? 1000 + replica_ + position_ * replicas_ : -1;
      ++position_;
    }
    batches_.fill(batch, {});
    return &batch;
  }

 private:
  int64_t total_;
  int replica_, replicas_;
  int64_t position_ = 0;
  TinyBatches batches_;
};

}  // namespace bev::test
