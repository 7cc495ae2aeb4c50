#include "runtime/transfer.h"

#include <algorithm>
#include <cstddef>
#include <memory>

namespace bev {

Tensor to_host(Device& device, const Stream& stream, const Tensor& tensor) {
  if (device.kind() != DeviceKind::cuda) return tensor;
  // Plain memory: pinning some in the middle of a run can hang on collectives of other replicas.
  const Tensor out(std::make_shared_for_overwrite<std::byte[]>(std::max<size_t>(tensor.bytes(), 1)), tensor.shape(),
                   tensor.dtype());
  device.copy(stream, out.raw(), tensor.raw(), tensor.bytes());
  device.synchronize(stream);
  return out;
}

void write_to_device(Device& device, const Stream& stream, void* to, const void* from, size_t bytes) {
  if (stream.kind == DeviceKind::dry || bytes == 0) return;
  device.copy(stream, to, from, bytes);
  device.synchronize(stream);
}

void copy_elements(Device& device, const Stream& stream, const Tensor& to, const Tensor& from) {
  if (to.shape() != from.shape() || to.dtype() != from.dtype()) {
    fail(ErrorKind::runtime, "cannot copy {} of {} to {} of {}", from.shape().text(), name_of(from.dtype()),
         to.shape().text(), name_of(to.dtype()));
  }
  if (stream.kind != DeviceKind::dry) device.copy(stream, to.raw(), from.raw(), to.bytes());
}

void zero(Device& device, const Stream& stream, const Tensor& tensor) {
  if (stream.kind == DeviceKind::dry || !tensor.defined()) return;
  device.zero(stream, tensor.raw(), tensor.bytes());
}

}  // namespace bev
