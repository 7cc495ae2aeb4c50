#include "runtime/tape.h"

#include "runtime/arena.h"

namespace bev {

Variable Tape::output(Tensor value) const {
  if (!recording_) return Variable(std::move(value));
  auto slot = std::make_shared<GradientSlot>();
  slot->shape = value.shape();
  slot->dtype = value.dtype();
  return Variable(std::move(value), std::move(slot));
}

void Tape::use(Parameter& parameter) {
  if (!recording_ || !parameter.trainable) return;
  if (parameter.pending_uses++ == 0 && parameter.whole) ++parameter.whole->pending_uses;
}

void Tape::record(const char* op, const Variable& output, Backward backward) {
  if (activity_) activity_->set("forward of", op, scope_);
  if (!recording_) return;
  entries_.push_back({op, scope_, output.gradient(), std::move(backward)});
}

Tensor Tape::take(const Gradient& output) {
  if (output->unwritten_parts > 0)
    fail(ErrorKind::runtime, "{} parts of a gradient were never written", output->unwritten_parts);
  Tensor gradient = std::move(output->gradient);
  output->gradient = Tensor();
  return gradient;
}

void Tape::add(const Gradient& input, const Write& write) {
  if (!input) return;
  if (!input->gradient.defined()) {
    if (const Gradient& parent = input->parent) {
      if (!parent->gradient.defined()) parent->gradient = allocate_(parent->shape, parent->dtype);
      parent->written = true;
      --parent->unwritten_parts;
      input->gradient = parent->gradient.part(input->offset, input->shape);
    } else {
      input->gradient = allocate_(input->shape, input->dtype);
    }
  }
  write(input->gradient, input->written);
  input->written = true;
}

bool Tape::adopt(const Gradient& input, const Tensor& contribution) {
  if (!input || input->parent || input->gradient.defined()) return false;
  input->gradient = contribution.view(input->shape);
  input->written = true;
  return true;
}

void Tape::add(Parameter& parameter, const Write& write) {
  if (!parameter.trainable) return;
  write(parameter.gradient, parameter.gradient_written);
  parameter.gradient_written = true;
  if (--parameter.pending_uses < 0)
    fail(ErrorKind::runtime, "the gradient of {} was written more often than announced", parameter.name);
  if (parameter.pending_uses > 0) return;
  Parameter& whole = parameter.whole ? *parameter.whole : parameter;
  if (parameter.whole && --whole.pending_uses > 0) return;
  whole.gradient_written = true;
  if (gradient_ready_) gradient_ready_(whole);
}

std::vector<Variable> Tape::parts(const Variable& x, int64_t count) {
  if (x.dim(0) % count != 0) fail(ErrorKind::runtime, "cannot cut {} into {} equal parts", x.shape().text(), count);
  Shape shape{x.dim(0) / count};
  for (int i = 1; i < x.shape().rank(); ++i) shape.append(x.dim(i));
  if (x.needs_gradient()) x.gradient()->unwritten_parts += count;
  std::vector<Variable> out;
  for (int64_t i = 0; i < count; ++i) {
    Gradient slot;
    if (x.needs_gradient()) {
      slot = std::make_shared<GradientSlot>();
      slot->shape = shape;
      slot->dtype = x.value().dtype();
      slot->parent = x.gradient();
      slot->offset = i * shape.elements();
    }
    out.emplace_back(x.value().part(i * shape.elements(), shape), slot);
  }
  return out;
}

void Tape::begin(ParameterStore& store, bool accumulate_into_parameters) {
  clear();
  const auto reset = [&](Parameter& parameter) {
    parameter.pending_uses = 0;
    if (!accumulate_into_parameters) parameter.gradient_written = false;
  };
  for (const auto& parameter : store.all()) {
    reset(*parameter);
    for (const auto& slice : parameter->slices) reset(*slice);
  }
}

void Tape::backward(const Variable& loss, const Write& seed) {
  add(loss.gradient(), seed);
  while (!entries_.empty()) {
    Entry entry = std::move(entries_.back());
    entries_.pop_back();
    if (!entry.output->written) {
      fail(ErrorKind::runtime, "op {} in {} was recorded, but no gradient reached it", entry.op, entry.scope);
    }
    if (activity_) activity_->set("backward of", entry.op, entry.scope);
    try {
      entry.backward();
    } catch (const OutOfMemory&) {
      throw;  // it carries a table and names its place already
    } catch (Error& error) {
      error.prepend(fmt::format("backward of {} in {}: ", entry.op, entry.scope));
      throw;
    }
  }
}

void Tape::clear() { entries_.clear(); }

}  // namespace bev
