#include "kernels/residual_norm.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ResidualNormForward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ResidualNormBackward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ResidualNormSums<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ResidualNormColumns<float>&);
