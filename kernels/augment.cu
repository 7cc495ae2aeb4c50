#include "kernels/augment.h"

#include "kernels/launch_cuda.cuh"

template void bev::cuda::run_elements(const bev::Stream&, int64_t, const bev::AddNormalNoise<float>&);
template void bev::cuda::run_elements(const bev::Stream&, int64_t, const bev::AddRasterNoise<float>&);
