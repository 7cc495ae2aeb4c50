#include "kernels/absorbed_heads.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ScaleSlices<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::SpreadValueBias<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ValueBiasBackward<float>&);
template void bev::cuda::run_columns(const Stream&, int64_t, int64_t, float*, const bev::SliceWeightGradient<float>&);
