#include "kernels/group_norm.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::GroupNormForward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::GroupNormBackward<float>&);
template void bev::cuda::run_columns(const Stream&, int64_t, int64_t, float*,
                                     const bev::GroupNormWeightGradient<float>&);
