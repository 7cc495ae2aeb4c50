#include "kernels/batch_norm.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;
using Tail = bev::BatchNormTail;

template void bev::cuda::run_elements(const Stream&, int64_t, const bev::BatchNormPivot<float>&);
template void bev::cuda::run_columns(const Stream&, int64_t, int64_t, float*, const bev::BatchNormSums<float>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::BatchNormStatistics<float>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::BatchNormFromRunning<float>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::BatchNormWeightGradient<float>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::BatchNormPull<float>&);

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::BatchNormApply<float, Tail::none>&);
template void bev::cuda::run_columns(const Stream&, int64_t, int64_t, float*,
                                     const bev::BatchNormGradientSums<float, Tail::none>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::BatchNormBackward<float, Tail::none>&);

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::BatchNormApply<float, Tail::relu>&);
template void bev::cuda::run_columns(const Stream&, int64_t, int64_t, float*,
                                     const bev::BatchNormGradientSums<float, Tail::relu>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::BatchNormBackward<float, Tail::relu>&);

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::BatchNormApply<float, Tail::add>&);
template void bev::cuda::run_columns(const Stream&, int64_t, int64_t, float*,
                                     const bev::BatchNormGradientSums<float, Tail::add>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::BatchNormBackward<float, Tail::add>&);

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::BatchNormApply<float, Tail::add_relu>&);
template void bev::cuda::run_columns(const Stream&, int64_t, int64_t, float*,
                                     const bev::BatchNormGradientSums<float, Tail::add_relu>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t,
                                  const bev::BatchNormBackward<float, Tail::add_relu>&);
