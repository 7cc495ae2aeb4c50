#include "kernels/cell_attention.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::SoftmaxForward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::SoftmaxBackward<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::WeightedCells<float, float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::WeightedCells<float, uint16_t>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::WeightedCellsBackward<float, float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::WeightedCellsBackward<float, uint16_t>&);
