// A device with everything that a policy needs to run on it, for one parity case, and tensors to and from it in double.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/policy.h"
#include "runtime/train/memory_plan.h"
#include "tests/parity/run_case.h"

namespace bev::parity {

class Machine {
 public:
  /// Builds the case's policy for the device. Throws Error(usage) where the device cannot compute in such numbers.
  /// Without engines the device's own compute.
  Machine(const Case& test, const RunOptions& options, Engines engines = {});

  Context& context() { return *context_; }
  Policy& policy() { return *policy_; }
  ParameterStore& store() { return store_; }
  Device& device() { return *device_; }

  /// Gives the parameters storage, those in `order` a gradient, and fills them by the rule.
  void allocate(const std::vector<Parameter*>& order);

  /// A tensor of the compute type with these values.
  Tensor upload(const std::vector<double>& values, const Shape& shape);
  Tensor upload(const std::vector<int64_t>& values);
  Tensor upload(const std::vector<uint8_t>& values, const Shape& shape);
  std::vector<double> download(const Tensor& tensor);
  /// A tensor of a parameter's layout (its value, gradient, average) in the order of files.
  std::vector<double> download_filed(const Parameter& parameter, const Tensor& tensor);

  void set_state(const StepState& state);

 private:
  void write(const Tensor& tensor, const std::vector<double>& values);

  DType dtype_;
  std::unique_ptr<Device> device_;
  Stream stream_;
  Tensor state_;
  std::unique_ptr<Context> context_;
  ParameterStore store_;
  std::unique_ptr<Policy> policy_;
};

}  // namespace bev::parity
