#include "kernels/layer_norm.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::LayerNormForward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::LayerNormBackward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ModulationGradient<float>&);
template void bev::cuda::run_columns(const Stream&, int64_t, int64_t, float*,
                                     const bev::LayerNormWeightGradient<float>&);
