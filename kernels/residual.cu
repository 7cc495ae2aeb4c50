#include "kernels/residual.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::GatedResidualForward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::GatedBranchGradient<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::GateGradient<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::AnswersSum<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::GeluTailForward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::GeluTailBackward<float>&);
