#include "runtime/cpu/shared_operands.h"

#include <algorithm>

#include "runtime/cpu/block_product.h"
#include "runtime/cpu/threads.h"

namespace bev::cpu {

namespace {

using B = Blocking<float>;

int64_t round_up(int64_t size, int64_t unit) { return (size + unit - 1) / unit * unit; }

/// Where strips lie: depth by depth, and in each from left to right. Strips of the last depth have rows for whole
/// vectors, since pack_b writes those.
struct Layout {
  int64_t columns, depth;

  int64_t size() const { return round_up(depth, B::lanes) * round_up(columns, B::tile_columns); }
  int64_t strip(int64_t p, int64_t j) const {
    const int64_t deep = round_up(std::min(B::depth, depth - p), B::lanes);
    return p * round_up(columns, B::tile_columns) + j * deep;
  }
};

void pack(const Layout& layout, Operand<float> b, float* packed) {
  const int64_t strips = round_up(layout.columns, B::tile_columns) / B::tile_columns;
#pragma omp parallel for schedule(static) if (layout.size() >= 65536)
  for (int64_t s = 0; s < strips; ++s) {
    const int64_t j = s * B::tile_columns, wide = std::min(B::tile_columns, layout.columns - j);
    for (int64_t p = 0; p < layout.depth; p += B::depth) {
      detail::pack_b<float>(std::min(B::depth, layout.depth - p), wide,
                            {b.data + p * b.row + j * b.column, b.row, b.column}, packed + layout.strip(p, j));
    }
  }
}

}  // namespace

size_t SharedOperands::Hash::operator()(const Key& key) const {
  uint64_t hash = reinterpret_cast<uintptr_t>(key.data) >> 6;
  for (const int64_t number : {key.n, key.k, key.ldb, int64_t{key.transposed}}) {
    hash = (hash ^ static_cast<uint64_t>(number)) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return hash;
}

void SharedOperands::keep(bool on) {
  keeping_ = on;
  for (auto& [key, packed] : operands_) packed.uses = 0;
}

bool SharedOperands::multiply(const MatmulShape& s, const float* a, const float* b, float* c, float alpha,
                              bool accumulate, const float* bias) {
  if (!keeping_ || s.batch != 1 || s.m == 0 || s.m > B::rows || s.n == 0 || s.k == 0) return false;
  Packed& packed = operands_[{b, s.n, s.k, s.ldb, s.transpose_b}];
  if (++packed.uses == 1) return false;
  const Layout layout{s.n, s.k};
  auto* right = static_cast<float*>(packed.memory.get(static_cast<size_t>(layout.size()) * sizeof(float)));
  if (packed.uses == 2) pack(layout, {b, s.transpose_b ? 1 : s.ldb, s.transpose_b ? s.ldb : 1}, right);

  const Operand<float> left{a, s.transpose_a ? 1 : s.lda, s.transpose_a ? s.lda : 1};
  const int64_t strips = round_up(s.n, B::tile_columns) / B::tile_columns;
  const int64_t threads = 2.0 * static_cast<double>(s.m * s.n * s.k) < serial_below ? 1 : max_threads();
  const int64_t pieces = threads == 1 ? 1 : std::min(strips, 2 * threads);
  const auto piece = [&](int64_t i) {
    const int64_t first = strips * i / pieces * B::tile_columns;
    const int64_t end = std::min(s.n, strips * (i + 1) / pieces * B::tile_columns);
    const auto strip = [&](int64_t p, int64_t, int64_t j, int64_t) { return right + layout.strip(p, first + j); };
    multiply_strips<float>(s.m, end - first, s.k, left, strip, c + first, s.ldc,
                           {alpha, accumulate, bias ? bias + first : nullptr});
  };
  if (pieces == 1) return piece(0), true;
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < pieces; ++i) piece(i);
  return true;
}

}  // namespace bev::cpu
