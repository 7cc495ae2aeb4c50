#include "kernels/weighted_sums.h"

#include "kernels/launch_cuda.cuh"

template void bev::cuda::run_rows(const bev::Stream&, int64_t, int64_t, const bev::WeightedSums<float>&);
