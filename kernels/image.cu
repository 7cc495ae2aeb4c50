#include "kernels/image.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ImageChannelsLast<float, uint8_t>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::ImageChannelsLast<float, float>&);
