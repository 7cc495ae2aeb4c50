// What every body of the two library-bound operations does before it works: on a dry stream the operation is counted
// and nothing else happens. Here because a dry run counts the same work whichever device it plans for.
#pragma once

#include "kernels/stream.h"
#include "runtime/convolution.h"
#include "runtime/matmul.h"

namespace bev {

/// 2 m n k for every member of the batch.
inline double flop_of(const MatmulShape& shape) {
  return 2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.n) * static_cast<double>(shape.k) *
         static_cast<double>(shape.batch);
}

/// The same for the three directions.
inline double flop_of(const ConvolutionShape& shape) {
  return 2.0 * static_cast<double>(shape.n * shape.out_h() * shape.out_w()) *
         static_cast<double>(shape.k * shape.r * shape.s * shape.c);
}

/// True on a dry stream, after counting: the caller has nothing to do.
inline bool tallied(const Stream& stream, const MatmulShape& shape) {
  if (stream.kind != DeviceKind::dry) return false;
  if (stream.tally) stream.tally->launches += 1, stream.tally->matmul_flop += flop_of(shape);
  return true;
}

inline bool tallied(const Stream& stream, const ConvolutionShape& shape) {
  if (stream.kind != DeviceKind::dry) return false;
  if (stream.tally) stream.tally->launches += 1, stream.tally->convolution_flop += flop_of(shape);
  return true;
}

}  // namespace bev
