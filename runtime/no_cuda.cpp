// The answers of a program that was built without CUDA. Left out of the build where there is CUDA: runtime/cuda/
// answers.
#include "runtime/device.h"
#include "runtime/distributed/communicator.h"
#include "runtime/error.h"
#include "runtime/probe.h"

namespace bev {

CudaSurvey survey_cuda() { return {.count = 0, .reason = "built without CUDA"}; }

CudaFacts probe_cuda() {
  CudaFacts out;
  out.reason = out.links_reason = survey_cuda().reason;
  return out;
}

std::unique_ptr<Device> make_cuda_device(int ordinal, const CudaOptions&) {
  fail(ErrorKind::usage,
       "cuda:{} was asked for, but this program was built without CUDA: use --device cpu, or build it "
       "where nvcc is found",
       ordinal);
}

std::shared_ptr<Rendezvous> meet_by_nccl(int count, std::string label) {
  fail(ErrorKind::usage, "{} GPUs were to communicate ({}), but this program was built without CUDA", count, label);
}

}  // namespace bev
