#include "kernels/many_key_softmax.h"

#include "kernels/launch_cuda.cuh"

template void bev::cuda::run_rows(const bev::Stream&, int64_t, int64_t, const bev::ManyKeySoftmax<float>&);
template void bev::cuda::run_rows(const bev::Stream&, int64_t, int64_t, const bev::ManyKeySoftmaxBackward<float>&);
