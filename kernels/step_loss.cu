#include "kernels/step_loss.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_elements(const Stream&, int64_t, const bev::CollectLoss<float>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::PublishLoss<float>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::SeedGradient<float>&);
