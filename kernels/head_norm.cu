#include "kernels/head_norm.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::HeadNormForward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::RotateBack<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::HeadNormBackward<float>&);
template void bev::cuda::run_columns(const Stream&, int64_t, int64_t, float*,
                                     const bev::HeadNormWeightGradient<float>&);
