#include "kernels/standardize.h"

#include "kernels/launch_cuda.cuh"

template void bev::cuda::run_elements(const bev::Stream&, int64_t, const bev::Standardize<float>&);
