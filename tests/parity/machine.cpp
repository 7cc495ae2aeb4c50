#include "tests/parity/machine.h"

#include <algorithm>

#include "runtime/file_layout.h"
#include "runtime/transfer.h"
#include "tests/parity/fill.h"

namespace bev::parity {

namespace {

constexpr size_t arena_bytes = size_t{6} << 30;  // reserved, not used up: committed when touched on the CPU

std::unique_ptr<Device> make_device(const RunOptions& options) {
  const Precision precision = options.numbers == Numbers::tf32   ? Precision::tf32
                              : options.numbers == Numbers::bf16 ? Precision::bf16
                                                                 : Precision::fp32;
  if (options.device == "cpu") return make_cpu_device(precision);
  if (!options.device.starts_with("cuda:")) {
    fail(ErrorKind::usage, "--device {}: expected cpu or cuda:N", options.device);
  }
  if (options.numbers == Numbers::f64) fail(ErrorKind::usage, "--dtype f64 is for the CPU");
  return make_cuda_device(std::stoi(options.device.substr(5)), {.precision = precision, .cache_directory = ""});
}

std::shared_ptr<Arena> make_arena(Device& device) {
  if (device.kind() == DeviceKind::cpu) return Arena::on_host(arena_bytes);
  auto memory = device.allocate(arena_bytes);
  return Arena::over(memory.get(), arena_bytes, memory);
}

}  // namespace

Machine::Machine(const Case& test, const RunOptions& options, Engines engines)
    : dtype_(options.numbers == Numbers::f64 ? DType::f64 : DType::f32), device_(make_device(options)) {
  device_->make_current();
  stream_ = device_->make_stream();
  std::shared_ptr<Arena> arena = make_arena(*device_);
  state_ = Tensor(arena->allocate(sizeof(StepState)), {static_cast<int64_t>(sizeof(StepState))}, DType::u8);
  if (!engines.matmul) engines = make_engines(*device_, stream_);
  context_ = std::make_unique<Context>(stream_, std::move(arena), engines.matmul, engines.convolution,
                                       static_cast<const StepState*>(state_.raw()), dtype_);
  set_state({});
  PolicyConfig config = test.policy;
  config.plain = options.plain;
  policy_ = std::make_unique<Policy>(store_, config);
}

void Machine::allocate(const std::vector<Parameter*>& order) {
  store_.allocate(*context_->arena, dtype_, order,
                  [&](void* memory, size_t bytes) { device_->zero(stream_, memory, bytes); });
  for (const auto& parameter : store_.all()) {
    std::vector<double> values = parameter->init.entries;
    if (parameter->in_files) {
      const std::vector<double> filed = fill_parameter(parameter->name, parameter->file_shape());
      values.resize(filed.size());
      from_file_layout<double>(*parameter, filed, values);
    }
    write(parameter->value, values);
  }
}

void Machine::write(const Tensor& tensor, const std::vector<double>& values) {
  const std::vector<float> narrow(values.begin(), values.end());
  const void* source = dtype_ == DType::f64 ? static_cast<const void*>(values.data()) : narrow.data();
  write_to_device(*device_, stream_, tensor.raw(), source, tensor.bytes());
}

Tensor Machine::upload(const std::vector<double>& values, const Shape& shape) {
  const Tensor out = context_->empty(shape);
  write(out, values);
  return out;
}

Tensor Machine::upload(const std::vector<int64_t>& values) {
  const Tensor out = context_->empty({static_cast<int64_t>(values.size())}, DType::i64);
  write_to_device(*device_, stream_, out.raw(), values.data(), out.bytes());
  return out;
}

Tensor Machine::upload(const std::vector<uint8_t>& values, const Shape& shape) {
  const Tensor out = context_->empty(shape, DType::u8);
  write_to_device(*device_, stream_, out.raw(), values.data(), out.bytes());
  return out;
}

std::vector<double> Machine::download(const Tensor& tensor) {
  const Tensor host = to_host(*device_, stream_, tensor);
  return visit_float(dtype_, [&]<class T>(T) {
    const T* data = host.data<T>();
    return std::vector<double>(data, data + host.size());
  });
}

std::vector<double> Machine::download_filed(const Parameter& parameter, const Tensor& tensor) {
  const std::vector<double> computed = download(tensor);
  std::vector<double> filed(computed.size());
  to_file_layout<double>(parameter, computed, filed);
  return filed;
}

void Machine::set_state(const StepState& state) {
  write_to_device(*device_, stream_, state_.raw(), &state, sizeof state);
}

}  // namespace bev::parity
