#include "kernels/adamw.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::SegmentSquares<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::TotalSquares<float>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::DecideUpdate<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::AdamW<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::GuardBuffers<float>&);
