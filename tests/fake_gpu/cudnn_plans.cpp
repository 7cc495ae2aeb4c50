// What the graph of a convolution says, and which of the real library's engines for it are offered: timing all of them
// on a CPU would take minutes, so some of every kind, and among them one that does not run.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "tests/fake_gpu/cudnn_descriptor.h"
#include "tests/fake_gpu/real_library.h"

namespace bev::fake_gpu {

namespace {

struct Names {
  cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
};

template <size_t N>
std::array<int64_t, N> array_of(const CudnnDescriptor& from, cudnnBackendAttributeName_t name) {
  const auto values = from.all<int64_t>(name);
  if (values.size() != N) misuse("a convolution that is not of two dimensions is not pretended");
  std::array<int64_t, N> out = {};
  std::copy(values.begin(), values.end(), out.begin());
  return out;
}

CudnnTensor tensor_of(const CudnnDescriptor& from) {
  if (from.one<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE) != CUDNN_DATA_FLOAT) {
    misuse("a convolution of anything but floats is not pretended");
  }
  return {.id = from.one<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID),
          .alignment = from.one<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT),
          .size = array_of<4>(from, CUDNN_ATTR_TENSOR_DIMENSIONS),
          .stride = array_of<4>(from, CUDNN_ATTR_TENSOR_STRIDES)};
}

float factor(const CudnnDescriptor& from, cudnnBackendAttributeName_t name) {
  const auto raw = from.value(name).bytes;
  if (raw.size() == sizeof(double)) return static_cast<float>(from.one<double>(name));
  return from.one<float>(name);
}

Names names_of(cudnnBackendDescriptorType_t type) {
  switch (type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
    default:
      misuse("a graph of anything but a convolution is not pretended");
  }
}

template <class T, size_t N>
std::vector<T> notes(const RealDescriptor& engine, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) {
  std::array<T, N> out = {};
  int64_t count = 0;
  real(&cudnnBackendGetAttribute, "cudnnBackendGetAttribute")(engine.get(), name, type, N, &count, out.data());
  return {out.begin(), out.begin() + std::min<int64_t>(count, N)};
}

/// What an engine does to a graph's convolution, by its own notes.
CudnnConvolution by_engine(CudnnConvolution work, const RealDescriptor& configuration) {
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  const RealDescriptor engine = make_real(CUDNN_BACKEND_ENGINE_DESCRIPTOR, status);
  cudnnBackendDescriptor_t raw = engine.get();
  int64_t count = 0;
  real(&cudnnBackendGetAttribute, "cudnnBackendGetAttribute")(configuration.get(), CUDNN_ATTR_ENGINECFG_ENGINE,
                                                              CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &raw);
  work.engine = notes<int64_t, 1>(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64).at(0);
  const auto said = notes<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT>(
      engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE);
  const auto says = [&](cudnnBackendNumericalNote_t note) { return std::count(said.begin(), said.end(), note) > 0; };
  if (says(CUDNN_NUMERICAL_NOTE_TENSOR_CORE) || says(CUDNN_NUMERICAL_NOTE_WINOGRAD) || says(CUDNN_NUMERICAL_NOTE_FFT)) {
    work.rounding = Rounding::tf32_nearest;  // transforms round too, if not so
  }
  if (says(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)) work.rounding = Rounding::bf16;
  work.repeats = !says(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
  return work;
}

}  // namespace

CudnnConvolution convolution_of(const CudnnDescriptor& graph) {
  const auto& operations = graph.value(CUDNN_ATTR_OPERATIONGRAPH_OPS).others;
  if (operations.size() != 1) misuse("a graph of several operations is not pretended");
  const CudnnDescriptor& operation = *operations.front();
  const Names names = names_of(operation.type);
  const CudnnDescriptor& convolution = operation.other(names.convolution);
  if (convolution.one<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION) {
    misuse("a convolution that flips its filters is not pretended");
  }
  CudnnConvolution out;
  out.direction = operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR ? CudnnConvolution::forward
                  : operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR
                      ? CudnnConvolution::backward_data
                      : CudnnConvolution::backward_filter;
  out.x = tensor_of(operation.other(names.x));
  out.w = tensor_of(operation.other(names.w));
  out.y = tensor_of(operation.other(names.y));
  if (out.w.size[1] != out.x.size[1]) misuse("a convolution in groups is not pretended");
  out.before = array_of<2>(convolution, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
  out.after = array_of<2>(convolution, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
  out.step = array_of<2>(convolution, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
  out.dilation = array_of<2>(convolution, CUDNN_ATTR_CONVOLUTION_DILATIONS);
  out.alpha = factor(operation, names.alpha);
  out.beta = factor(operation, names.beta);
  for (const CudnnTensor* t : {&out.x, &out.w, &out.y}) {
    const bool twice = (t != &out.x && t->id == out.x.id) || (t == &out.y && t->id == out.w.id);
    if (twice) misuse("two tensors of a graph have the unique id " + std::to_string(t->id));
  }
  return out;
}

std::vector<std::shared_ptr<const CudnnDescriptor>> offers_of(const CudnnDescriptor& heuristic) {
  const char* const wanted = std::getenv("FAKE_GPU_PLANS");
  const int most = wanted ? std::atoi(wanted) : 5;
  const CudnnConvolution shape = convolution_of(heuristic.other(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH));
  auto* const get = real(&cudnnBackendGetAttribute, "cudnnBackendGetAttribute");
  int64_t count = 0;
  get(heuristic.real_one.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr);
  std::vector<RealDescriptor> all;
  std::vector<cudnnBackendDescriptor_t> raw;
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  for (int64_t i = 0; i < count; ++i) {
    all.push_back(make_real(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, status));
    raw.push_back(all.back().get());
  }
  get(heuristic.real_one.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count,
      raw.data());
  all.resize(static_cast<size_t>(count));

  std::map<std::pair<Rounding, bool>, std::vector<std::pair<size_t, CudnnConvolution>>> kinds;  // in their order
  for (size_t i = 0; i < all.size(); ++i) {
    const CudnnConvolution work = by_engine(shape, all[i]);
    kinds[{work.rounding, work.repeats}].emplace_back(i, work);
  }
  std::map<size_t, CudnnConvolution> chosen;
  for (size_t turn = 0; chosen.size() < std::min(all.size(), static_cast<size_t>(most)); ++turn) {
    for (auto& [kind, members] : kinds) {
      if (turn >= members.size() || chosen.size() == static_cast<size_t>(most)) continue;
      auto& [i, work] = members[turn];
      work.refuses = turn == 1 && (shape.x.elements() + shape.w.elements()) / 32 % 2 == 0;
      chosen.emplace(i, work);
    }
  }
  std::vector<std::shared_ptr<const CudnnDescriptor>> out;
  for (const auto& [i, work] : chosen) {
    out.push_back(
        std::shared_ptr<const CudnnDescriptor>(new CudnnDescriptor{.type = CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                                                                   .real_one = all[i],
                                                                   .finalized = true,
                                                                   .values = {},
                                                                   .work = std::make_shared<CudnnConvolution>(work)}));
  }
  return out;
}

std::string json_of_device(int ordinal) {
  cudaDeviceProp device = {};
  if (cudaGetDeviceProperties(&device, ordinal) != cudaSuccess) {
    cudaGetLastError();
    return "";
  }
  return fmt::format(
      R"({{"deviceVer":{},"driverVer":13000,"cudaDeviceId":{},"totalGlobalMem":{},)"
      R"("maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,)"
      R"("multiProcessorCount":132,"warpSize":32,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":232448,)"
      R"("reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"maxCtasPerSM":32,"maxThreadsPerBlock":1024,)"
      R"("maxThreadsPerSM":2048,"pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1,"smClockRateKHz":1410000,)"
      R"("memClockRateKHz":1593000,"l2CacheSize":41943040,"deviceName":"{}"}})",
      device.major * 100 + device.minor * 10, ordinal, device.totalGlobalMem, device.name);
}

}  // namespace bev::fake_gpu
