// Convolutions as cuDNN operation graphs (backend API, NHWC tensors, KRSC filters): describing one, and the execution
// plans that the library has for it. Needs no GPU: plans can be built for a device that is only described (JSON), which
// is how tests know that every convolution of the model has a fast one.
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/convolution.h"

namespace bev::cuda {

/// A cuDNN backend descriptor: created, filled attribute by attribute, finalised. Owns it.
class Descriptor {
 public:
  Descriptor() = default;
  /// `what` is for messages.
  Descriptor(cudnnBackendDescriptorType_t type, std::string what);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;

  cudnnBackendDescriptor_t get() const { return raw_; }
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                  const void* values);
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<int64_t>& values);
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value);
  Descriptor& set_float(cudnnBackendAttributeName_t name, float value);
  /// Throws Error with the library's reason.
  void finalize();
  /// As finalize(), but false where the library does not support what is described.
  bool try_finalize();

 private:
  cudnnBackendDescriptor_t raw_ = nullptr;
  std::string what_;
};

/// The tensors' places in a plan's variant pack.
enum ConvolutionTensor : int64_t { tensor_x = 1, tensor_w = 2, tensor_y = 3 };

/// The device that is current, with everything that the library wants to know of it.
Descriptor current_device();
/// A device that is not there, from the JSON that the library itself would write of it.
Descriptor described_device(const std::string& json);

struct ConvolutionPlan {
  Descriptor plan;
  int64_t workspace = 0;  // bytes
  int64_t engine = 0;     // the library's number of the kernel family
  bool tensor_cores = false, deterministic = true, down_converts = false;
  bool transforms =
      false;  // multiplies transforms of its inputs (Winograd, FFT), which rounds further than products do
  bool compiled_at_run_time = false;
};

/// All plans that the library has for one convolution in float: what its heuristic prefers first, then fallbacks.
/// `beta` as in ConvolutionEngine.
std::vector<ConvolutionPlan> convolution_plans(ConvolutionDirection direction, const ConvolutionShape& shape,
                                               double beta, const Descriptor& device);

/// The plan as text that plan_from_text() turns into the same plan, for the cache. Empty if the library cannot.
std::string to_text(const ConvolutionPlan& plan);
/// False where the library no longer knows such a plan.
bool plan_from_text(const std::string& text, const Descriptor& device, ConvolutionPlan& plan);

/// Whether a plan may be used at a precision: float32 excludes tensor cores, and transforms, of which it is to be the
/// measure; none may differ from run to run, or round its inputs further than TF32 does.
bool suits(const ConvolutionPlan& plan, Precision precision);

/// What the plans of one convolution that suit a precision are offered to work in, under a limit. One that none of them
/// meets is met as nearly as can be.
struct WorkspaceChoice {
  int64_t bytes = 0;                // the most that a plan within the limit asks for
  int plans = 0, left_out = 0;      // that suit; those of them that ask for more than the limit
  bool loses_tensor_cores = false;  // all that use tensor cores are left out
};
WorkspaceChoice choose_workspace(const std::vector<ConvolutionPlan>& plans, Precision precision,
                                 const WorkspaceLimit& limit);

}  // namespace bev::cuda
