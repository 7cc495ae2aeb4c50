// Right operands that several products of a step share, packed once for all of them (see MatmulEngine::run_shared).
// Memory is taken when an operand is seen first, and kept for the next step: there the same operands come again.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "runtime/cpu/packed_operand.h"
#include "runtime/matmul.h"

namespace bev::cpu {

/// Of products whose factors are as Factor says: Exact<float> or Bf16.
template <class Factor>
class SharedOperands {
 public:
  /// Forgets all that is packed, and keeps operands from here on, or does not.
  void keep(bool on);

  /// C = alpha A B (+ C) (+ bias), from B packed where it was used before, or twice in the last such phase. The bits
  /// are the same either way. False, with nothing done, if the product gains nothing from that. `rows` is for what is
  /// packed of A.
  bool multiply(const MatmulShape& shape, const float* a, const float* b, float* c, float alpha, bool accumulate,
                const float* bias, Scratch& rows);

 private:
  struct Key {
    const float* data;
    int64_t n, k, ldb;
    bool transposed;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const;
  };
  struct Kept {
    int64_t uses = 0, uses_before = 0;  // since keep(true), and between the one before and that
    bool packed = false;
    PackedOperand<Factor> operand;
  };
  bool keeping_ = false;
  std::unordered_map<Key, Kept, Hash> operands_;
};

}  // namespace bev::cpu
