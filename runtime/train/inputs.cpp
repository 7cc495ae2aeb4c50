#include "runtime/train/inputs.h"

#include <numeric>

namespace bev {

Batch batch_in_arena(Context& context, const std::vector<FieldSpec>& fields, int64_t size) {
  const Scope scope(context.tape, "inputs");
  Batch out;
  out.size = size;
  out.samples.resize(static_cast<size_t>(size));
  std::iota(out.samples.begin(), out.samples.end(), 0);
  for (const FieldSpec& field : fields) {
    Shape shape{size};
    for (const int64_t n : field.shape) shape.append(n);
    out.fields.push_back({field.name, context.empty(shape, field.dtype)});
  }
  return out;
}

Inputs::Inputs(Context& context, Device& device, const std::vector<FieldSpec>& fields, int64_t size)
    : context_(context), device_(device) {
  if (device.kind() != DeviceKind::cuda) return;
  for (Slot& slot : slots_) slot.batch = batch_in_arena(context, fields, size);
  if (context.stream.kind == DeviceKind::dry) return;
  copies_ = device.make_stream();
  for (Slot& slot : slots_) {
    slot.copied = device.make_event();
    slot.used = device.make_event();
    slot.copied->record(copies_);
    slot.used->record(context.stream);
  }
}

void Inputs::before_next() {
  if (device_.kind() == DeviceKind::cuda) slots_[next_].copied->synchronize();
}

const Batch& Inputs::stage(const Batch& host) {
  if (device_.kind() != DeviceKind::cuda) return host;
  Slot& slot = slots_[next_];
  if (host.size != slot.batch.size) {
    fail(ErrorKind::runtime, "a batch of {} samples came where batches of {} were planned", host.size, slot.batch.size);
  }
  slot.batch.samples = host.samples;
  slot.used->block(copies_);
  for (const Batch::Field& field : slot.batch.fields) {
    device_.copy(copies_, field.value.raw(), host.at(field.name).raw(), field.value.bytes());
  }
  slot.copied->record(copies_);
  slot.copied->block(context_.stream);
  return slot.batch;
}

std::vector<const Batch*> Inputs::places() const {
  if (device_.kind() != DeviceKind::cuda) return {};
  return {&slots_[0].batch, &slots_[1].batch};
}

void Inputs::release() {
  if (device_.kind() != DeviceKind::cuda) return;
  slots_[next_].used->record(context_.stream);
  next_ = 1 - next_;
}

}  // namespace bev
