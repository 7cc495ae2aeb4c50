#include "runtime/cpu/shared_operands.h"

#include <utility>

#include "runtime/cpu/block_matmul.h"

namespace bev::cpu {

template <class Factor>
size_t SharedOperands<Factor>::Hash::operator()(const Key& key) const {
  uint64_t hash = reinterpret_cast<uintptr_t>(key.data) >> 6;
  for (const int64_t number : {key.n, key.k, key.ldb, int64_t{key.transposed}}) {
    hash = (hash ^ static_cast<uint64_t>(number)) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return hash;
}

template <class Factor>
void SharedOperands<Factor>::keep(bool on) {
  keeping_ = on;
  for (auto& [key, kept] : operands_) {
    kept.packed = false;
    if (on) kept.uses_before = std::exchange(kept.uses, 0);
  }
}

template <class Factor>
bool SharedOperands<Factor>::multiply(const MatmulShape& s, const float* a, const float* b, float* c, float alpha,
                                      bool accumulate, const float* bias, Scratch& rows) {
  // With more rows than one block packing is a small part of the work.
  if (!keeping_ || s.batch != 1 || s.m == 0 || s.m > Blocking<Factor>::rows || s.n == 0 || s.k == 0) return false;
  Kept& kept = operands_[{b, s.n, s.k, s.ldb, s.transpose_b}];
  if (++kept.uses == 1 && kept.uses_before < 2) {
    block_matmul<Factor>(s, a, b, c, alpha, accumulate, bias);
    return true;
  }
  if (!std::exchange(kept.packed, true)) kept.operand.pack(s, b);
  kept.operand.multiply(s, a, c, alpha, accumulate, bias, rows);
  return true;
}

template class SharedOperands<Exact<float>>;
template class SharedOperands<Bf16>;
template class SharedOperands<ScaledInt16>;

}  // namespace bev::cpu
