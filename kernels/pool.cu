#include "kernels/pool.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::MaxPoolForward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::MaxPoolBackward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::AveragePoolForward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::AveragePoolBackward<float>&);
