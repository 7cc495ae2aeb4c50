// A right operand packed whole, once for several products or for the many blocks of rows of one.
#pragma once

#include <cstdint>

#include "runtime/cpu/scaled_packing.h"
#include "runtime/cpu/scratch.h"
#include "runtime/matmul.h"

namespace bev::cpu {

/// Of products whose factors are as Factor says (factors.h, scaled_int16.h).
template <class Factor>
class PackedOperand {
 public:
  using Number = typename Factor::Number;

  /// Whether multiply() writes C past the caches: the gradient of a large weight, which A is transposed for, is next
  /// read when the step is over. Only where C is written once.
  static bool passes_caches(const MatmulShape& shape, bool accumulate);

  /// Packs `b`, as `shape` describes it; a batch is not for this. The memory stays for the next operand.
  void pack(const MatmulShape& shape, const Number* b);
  /// C = alpha A B (+ C, if `accumulate`) (+ bias) with what pack() was given, of as many rows as `shape` says. `rows`
  /// is for what is packed of A. Bits do not depend on the number of threads.
  void multiply(const MatmulShape& shape, const Number* a, Number* c, Number alpha, bool accumulate, const Number* bias,
                Scratch& rows) const;

 private:
  Scratch memory_;
  typename Factor::Packed* packed_ = nullptr;
};

}  // namespace bev::cpu
