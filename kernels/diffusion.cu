#include "kernels/diffusion.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_elements(const Stream&, int64_t, const bev::DrawDiffusion<float>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::DrawSampleNoise<float>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::AddNoise<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::MeanSquaredError<float>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::MeanSquaredErrorBackward<float>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::SamplingStep<float>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::ToMetres<float>&);
