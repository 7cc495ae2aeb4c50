#include "kernels/tokens.h"

#include "kernels/launch_cuda.cuh"

using bev::Stream;

template void bev::cuda::run_elements(const Stream&, int64_t, const bev::ConvertElements<float, uint16_t>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::ConvertElements<float, double>&);
template void bev::cuda::run_elements(const Stream&, int64_t, const bev::CopyMask&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::FindValidTokens<uint16_t>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::FindValidTokens<float>&);
template void bev::cuda::run_rows(const Stream&, int64_t, int64_t, const bev::UnmaskIfEmpty&);
