#include "runtime/transfer.h"

namespace bev {

Tensor to_host(Device& device, const Stream& stream, const Tensor& tensor) {
  if (device.kind() != DeviceKind::cuda) return tensor;
  const Tensor out(device.allocate_staging(tensor.bytes()), tensor.shape(), tensor.dtype());
  device.copy(stream, out.raw(), tensor.raw(), tensor.bytes());
  device.synchronize(stream);
  return out;
}

void write_to_device(Device& device, const Stream& stream, void* to, const void* from, size_t bytes) {
  if (stream.kind == DeviceKind::dry || bytes == 0) return;
  device.copy(stream, to, from, bytes);
  device.synchronize(stream);
}

void zero(Device& device, const Stream& stream, const Tensor& tensor) {
  if (stream.kind == DeviceKind::dry || !tensor.defined()) return;
  device.zero(stream, tensor.raw(), tensor.bytes());
}

}  // namespace bev
