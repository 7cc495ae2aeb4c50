#include "tests/support/numbers.h"

#include "runtime/transfer.h"

namespace bev::test {

namespace {

void write(const Context& context, const Tensor& to, const void* from) {
  write_to_device(*device_of(context), context.stream, to.raw(), from, to.bytes());
}

}  // namespace

std::unique_ptr<Device> device_of(const Context& context) {
  return context.stream.kind == DeviceKind::cuda ? make_cuda_device(context.stream.ordinal, {}) : make_cpu_device();
}

void write_numbers(const Context& context, const Tensor& to, const std::vector<double>& numbers) {
  if (static_cast<int64_t>(numbers.size()) != to.size()) {
    fail(ErrorKind::runtime, "{} numbers for a tensor {}", numbers.size(), to.shape().text());
  }
  visit_float(to.dtype(),
              [&]<class T>(T) { write(context, to, std::vector<T>(numbers.begin(), numbers.end()).data()); });
}

std::vector<double> read_numbers(const Context& context, const Tensor& from) {
  const Tensor host = to_host(*device_of(context), context.stream, from);
  return visit_float(host.dtype(),
                     [&]<class T>(T) { return std::vector<double>(host.data<T>(), host.data<T>() + host.size()); });
}

Tensor constant(Context& context, const Shape& shape, const std::function<double(int64_t)>& value) {
  std::vector<double> numbers(static_cast<size_t>(shape.elements()));
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = value(static_cast<int64_t>(i));
  return constant(context, shape, numbers);
}

Tensor constant(Context& context, const Shape& shape, const std::vector<double>& numbers) {
  const Tensor out = context.empty(shape);
  write_numbers(context, out, numbers);
  return out;
}

Tensor constant_bytes(Context& context, const Shape& shape, const std::vector<uint8_t>& bytes) {
  const Tensor out = context.empty(shape, DType::u8);
  if (bytes.size() != out.bytes()) fail(ErrorKind::runtime, "{} bytes for a tensor {}", bytes.size(), shape.text());
  write(context, out, bytes.data());
  return out;
}

Tensor constant_integers(Context& context, const std::vector<int64_t>& integers) {
  const Tensor out = context.empty({static_cast<int64_t>(integers.size())}, DType::i64);
  write(context, out, integers.data());
  return out;
}

}  // namespace bev::test
