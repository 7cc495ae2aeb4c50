#include "runtime/cpu/packed_operand.h"

#include <algorithm>

#include "runtime/cpu/block_product.h"
#include "runtime/cpu/threads.h"
#include "runtime/tally.h"

namespace bev::cpu {

namespace {

int64_t round_up(int64_t size, int64_t unit) { return divide_up(size, unit) * unit; }

/// Where strips lie: depth by depth, and in each from left to right. Strips of the last depth have rows for whole
/// vectors, since pack_b may write those.
template <class Factor>
struct Layout {
  using B = Blocking<Factor>;
  int64_t columns, depth;  // of the operand, in numbers

  int64_t strips() const { return divide_up(columns, B::tile_columns); }
  int64_t size() const { return round_up(B::packed(depth), B::lanes) * strips() * B::tile_columns; }
  int64_t strip(int64_t p, int64_t j) const {
    const int64_t deep = round_up(B::packed(std::min(B::depth, depth - p)), B::lanes);
    return p / Factor::numbers * strips() * B::tile_columns + j * deep;
  }
};

}  // namespace

template <class Factor>
void PackedOperand<Factor>::pack(const MatmulShape& s, const Number* b) {
  using B = Blocking<Factor>;
  const Layout<Factor> layout{s.n, s.k};
  packed_ = static_cast<typename Factor::Packed*>(
      memory_.get(static_cast<size_t>(layout.size()) * sizeof(typename Factor::Packed)));
  const Operand<Number> right = right_operand(s, b);
#pragma omp parallel for schedule(static) if (layout.size() >= 65536)
  for (int64_t strip = 0; strip < layout.strips(); ++strip) {
    const int64_t j = strip * B::tile_columns, wide = std::min(B::tile_columns, s.n - j);
    for (int64_t p = 0; p < s.k; p += B::depth) {
      detail::pack_b<Factor>(std::min(B::depth, s.k - p), wide, right.from(p, j), packed_ + layout.strip(p, j));
    }
  }
}

template <class Factor>
void PackedOperand<Factor>::multiply(const MatmulShape& s, const Number* a, Number* c, Number alpha, bool accumulate,
                                     const Number* bias) const {
  using B = Blocking<Factor>;
  const Layout<Factor> layout{s.n, s.k};
  const Operand<Number> left = left_operand(s, a);
  const int64_t threads = flop_of(s) < serial_below ? 1 : max_threads(), blocks = divide_up(s.m, B::rows);
  // Pieces of columns, two a thread where there are few blocks of rows: each packs its rows of A for itself.
  const int64_t pieces = threads == 1 ? 1 : std::min(layout.strips(), divide_up(2 * threads, blocks));
  const auto piece = [&](int64_t i) {
    const int64_t row = i / pieces * B::rows, part = i % pieces;
    const int64_t first = layout.strips() * part / pieces * B::tile_columns;
    const int64_t end = std::min(s.n, layout.strips() * (part + 1) / pieces * B::tile_columns);
    const auto strip = [&](int64_t p, int64_t deep, int64_t j, int64_t wide, int64_t steps, Prefetcher& next) {
      if (first + j + wide < end) {
        const int64_t bytes = B::packed(deep) * B::tile_columns * static_cast<int64_t>(sizeof(typename Factor::Packed));
        next = Prefetcher(packed_ + layout.strip(p, first + j + wide), 1, bytes, bytes, steps);
      }
      return packed_ + layout.strip(p, first + j);
    };
    multiply_strips<Factor>(std::min(B::rows, s.m - row), end - first, s.k, left.from(row, 0), strip,
                            c + row * s.ldc + first, s.ldc, {alpha, accumulate, bias ? bias + first : nullptr});
  };
  const int64_t tasks = blocks * pieces;
  if (threads == 1 || tasks == 1) {
    for (int64_t i = 0; i < tasks; ++i) piece(i);
    return;
  }
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tasks; ++i) piece(i);
}

template class PackedOperand<Exact<float>>;
template class PackedOperand<Bf16>;

}  // namespace bev::cpu
