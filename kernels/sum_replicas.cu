#include "kernels/sum_replicas.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::SumReplicas<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::SumReplicas<double>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::SumReplicas<int64_t>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::SumReplicas<uint8_t>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::DivideBy<float>&);
