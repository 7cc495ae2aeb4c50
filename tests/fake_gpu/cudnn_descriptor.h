// A descriptor of the pretended cuDNN. What may be in one, and which plans a convolution has, the real library knows
// without a GPU: behind each of ours stands one of its own, and ours remembers what a plan is to compute.
#pragma once

#include <cudnn.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/fake_gpu/cudnn_convolution.h"

namespace bev::fake_gpu {

using RealDescriptor = std::shared_ptr<void>;
RealDescriptor make_real(cudnnBackendDescriptorType_t type, cudnnStatus_t& status);

struct CudnnDescriptor {
  struct Value {
    std::vector<std::byte> bytes;                                // as they were given
    std::vector<std::shared_ptr<const CudnnDescriptor>> others;  // instead, where they are descriptors
  };

  const cudnnBackendDescriptorType_t type;
  RealDescriptor real_one;
  bool finalized = false;
  std::map<cudnnBackendAttributeName_t, Value> values;
  int device = -1;                                         // of a device or a plan; -1: one that is only described
  std::shared_ptr<const CudnnConvolution> work = nullptr;  // of an engine's configuration or a plan
  std::vector<std::shared_ptr<const CudnnDescriptor>> offered = {};  // by a heuristic

  const Value& value(cudnnBackendAttributeName_t name) const;
  template <class T>
  std::vector<T> all(cudnnBackendAttributeName_t name) const {
    const Value& raw = value(name);
    const auto* const first = reinterpret_cast<const T*>(raw.bytes.data());
    return {first, first + raw.bytes.size() / sizeof(T)};
  }
  template <class T>
  T one(cudnnBackendAttributeName_t name) const {
    return all<T>(name).at(0);
  }
  const CudnnDescriptor& other(cudnnBackendAttributeName_t name) const { return *value(name).others.at(0); }
};

/// The descriptor that a user's handle stands for; misuse if it does not live.
std::shared_ptr<CudnnDescriptor> descriptor_of(const char* call, cudnnBackendDescriptor_t handle);

/// What a graph of one convolution computes; misuse where it is something that is not pretended.
CudnnConvolution convolution_of(const CudnnDescriptor& graph);
/// The configurations that a finalised heuristic offers: some of the real library's, of every kind.
std::vector<std::shared_ptr<const CudnnDescriptor>> offers_of(const CudnnDescriptor& heuristic);
/// A device of this process as the real library would describe it. Empty: there is none of that number.
std::string json_of_device(int ordinal);

}  // namespace bev::fake_gpu
