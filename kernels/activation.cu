#include "kernels/activation.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ActivationForward<float, bev::Identity>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ActivationForward<float, bev::Relu>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ActivationForward<float, bev::Gelu>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ActivationForward<float, bev::Silu>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t,
                                  const bev::ActivationBackward<float, bev::Identity>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ActivationBackward<float, bev::Relu>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ActivationBackward<float, bev::Gelu>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ActivationBackward<float, bev::Silu>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::AddDropout<float>&);
