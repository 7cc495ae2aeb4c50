#include "runtime/cpu/packed_operand.h"

#include <algorithm>

#include "runtime/cpu/block_product.h"
#include "runtime/cpu/threads.h"
#include "runtime/tally.h"

namespace bev::cpu {

namespace {

constexpr int64_t large = 1 << 20;  // elements: more than stays in the caches until it is read

int64_t round_up(int64_t size, int64_t unit) { return divide_up(size, unit) * unit; }

/// Where strips lie: depth by depth, and in each from left to right. Strips of the last depth have rows for whole
/// vectors, since pack_b may write those.
template <class Factor>
struct Layout {
  using B = Blocking<Factor>;
  int64_t columns, depth;  // of the operand, in numbers

  int64_t strips() const { return divide_up(columns, B::tile_columns); }
  int64_t size() const { return rows(depth) * strips() * B::tile_columns; }
  /// Row p, where a segment begins if there are any, of the strip that begins at column j.
  int64_t at(int64_t p, int64_t j) const {
    const int64_t top = p / B::depth * B::depth, deep = rows(std::min(B::depth, depth - top));
    return rows(top) * strips() * B::tile_columns + j * deep +
           B::strip_rows((p - top) / Factor::numbers) * B::tile_columns;
  }

 private:
  /// That hold so many of the operand.
  static int64_t rows(int64_t numbers) { return B::strip_rows(round_up(B::packed(numbers), B::lanes)); }
};

/// A product's result in tasks: `blocks` of rows, each in `pieces` of columns.
template <class Factor>
struct Tasks {
  using B = Blocking<Factor>;
  int64_t rows, columns, tiles, strips, blocks, pieces;

  /// Blocks as high as others, as many for each thread; where there are few, cut into pieces, so that threads end
  /// together.
  Tasks(int64_t m, int64_t n, int64_t threads)
      : rows(m), columns(n), tiles(divide_up(m, B::tile_rows)), strips(divide_up(n, B::tile_columns)) {
    const int64_t fewest = divide_up(m, B::rows);
    blocks = fewest == 1 ? 1 : std::min(tiles, divide_up(fewest, threads) * threads);
    pieces = threads == 1 ? 1 : std::min(strips, divide_up(8 * threads, blocks));
  }
  int64_t count() const { return blocks * pieces; }
  int64_t top(int64_t block) const { return std::min(rows, tiles * block / blocks * B::tile_rows); }
  int64_t left(int64_t piece) const { return std::min(columns, strips * piece / pieces * B::tile_columns); }
};

}  // namespace

template <class Factor>
bool PackedOperand<Factor>::passes_caches(const MatmulShape& s, bool accumulate) {
  using B = Blocking<Factor>;
  return s.batch == 1 && s.transpose_a && !accumulate && s.m * s.n >= large && s.k <= B::depth &&
         s.n % B::tile_columns == 0 && s.ldc % B::lanes == 0;
}

template <class Factor>
void PackedOperand<Factor>::pack(const MatmulShape& s, const Number* b) {
  using B = Blocking<Factor>;
  const Layout<Factor> layout{s.n, s.k};
  packed_ = static_cast<typename Factor::Packed*>(
      memory_.get(static_cast<size_t>(layout.size()) * sizeof(typename Factor::Packed)));
  const Operand<Number> right = right_operand(s, b);
  // Pieces of B that lie together: a strip of a transposed operand, else a few rows of many strips.
  const int64_t down = s.transpose_b ? B::packed_depth : B::scaled ? B::packed_segment : 8;
  const int64_t across = (s.transpose_b ? 1 : 16) * B::tile_columns;
  const int64_t downs = divide_up(B::packed(s.k), down), acrosses = divide_up(s.n, across);
  const auto pack_piece = [&]<Store how>(int64_t piece) {
    const int64_t row = piece / acrosses * down * Factor::numbers, first = piece % acrosses * across;
    const int64_t deep = std::min(down * Factor::numbers, s.k - row);
    for (int64_t j = first; j < std::min(s.n, first + across); j += B::tile_columns) {
      detail::pack_b<Factor, how>(deep, std::min(B::tile_columns, s.n - j), right.from(row, j),
                                  packed_ + layout.at(row, j));
    }
  };
  // What does not stay in the caches anyway takes half the time past them (16 MB: 0.9 ms instead of 1.7).
  if (layout.size() < large) {
#pragma omp parallel for schedule(static) if (layout.size() >= 65536)
    for (int64_t piece = 0; piece < downs * acrosses; ++piece) pack_piece.template operator()<Store::cached>(piece);
    return;
  }
#pragma omp parallel
  {
#pragma omp for schedule(static) nowait
    for (int64_t piece = 0; piece < downs * acrosses; ++piece) {
      pack_piece.template operator()<Store::past_caches>(piece);
    }
    publish_past_caches();
  }
}

template <class Factor>
void PackedOperand<Factor>::multiply(const MatmulShape& s, const Number* a, Number* c, Number alpha, bool accumulate,
                                     const Number* bias, Scratch& rows) const {
  using B = Blocking<Factor>;
  const Layout<Factor> layout{s.n, s.k};
  const Operand<Number> left = left_operand(s, a);
  const int64_t threads = flop_of(s) < serial_below ? 1 : max_threads();
  const Tasks<Factor> tasks(s.m, s.n, threads);
  const bool past_caches = passes_caches(s, accumulate) && reinterpret_cast<uintptr_t>(c) % vector_bytes == 0;
  // Blocks of A that several tasks multiply are packed beforehand, by all threads; others by whoever multiplies them.
  const int64_t depths = divide_up(s.k, B::depth), group = left.column == 1 ? B::lanes : 2 * B::lanes;
  const int64_t groups = divide_up(std::min(s.m, B::rows), group);  // of rows, in a block
  typename Factor::Packed* whole = nullptr;
  if (tasks.pieces > 1) {
    whole = static_cast<typename Factor::Packed*>(
        rows.get(static_cast<size_t>(depths * tasks.blocks * B::a_block) * sizeof(typename Factor::Packed)));
  }
  const auto packed_block = [&](int64_t block, int64_t p) {
    return whole + (p / B::depth * tasks.blocks + block) * B::a_block;
  };
  const auto pack_group = [&](int64_t task) {
    const int64_t i = task % groups * group, block = task / groups % tasks.blocks;
    const int64_t p = task / groups / tasks.blocks * B::depth;
    const int64_t top = tasks.top(block), height = tasks.top(block + 1) - top;
    if (i >= height) return;
    detail::pack_a<Factor>(std::min(group, height - i), std::min(B::depth, s.k - p), left.from(top + i, p),
                           packed_block(block, p) + i * B::a_row);
  };
  const auto compute = [&](int64_t task) {
    const int64_t block = task / tasks.pieces, top = tasks.top(block), height = tasks.top(block + 1) - top;
    const int64_t first = tasks.left(task % tasks.pieces), width = tasks.left(task % tasks.pieces + 1) - first;
    const auto strip = [&](int64_t p, int64_t deep, int64_t j, int64_t wide, int64_t steps, Prefetcher& next) {
      if (j + wide < width) {
        const int64_t bytes =
            B::strip_rows(B::packed(deep)) * B::tile_columns * static_cast<int64_t>(sizeof(typename Factor::Packed));
        next = Prefetcher(packed_ + layout.at(p, first + j + wide), 1, bytes, bytes, steps);
      }
      return Strip<Factor>{packed_ + layout.at(p, first + j)};
    };
    const auto packed = [&](int64_t, int64_t p, int64_t, int64_t) { return packed_block(block, p); };
    const Finish<Number> finish{alpha, accumulate, bias ? bias + first : nullptr, past_caches};
    Number* out = c + top * s.ldc + first;
    if (whole) {
      multiply_packed<Factor>(height, width, s.k, packed, strip, out, s.ldc, finish);
    } else {
      multiply_strips<Factor>(height, width, s.k, left.from(top, 0), strip, out, s.ldc, finish);
    }
    if (past_caches) publish_past_caches();
  };
  if (threads == 1 || tasks.count() == 1) {
    for (int64_t task = 0; task < tasks.count(); ++task) compute(task);
    return;
  }
#pragma omp parallel
  {
    if (whole) {
#pragma omp for schedule(dynamic)
      for (int64_t task = 0; task < depths * tasks.blocks * groups; ++task) pack_group(task);
    }
#pragma omp for schedule(dynamic) nowait
    for (int64_t task = 0; task < tasks.count(); ++task) compute(task);
  }
}

template class PackedOperand<Exact<float>>;
template class PackedOperand<Bf16>;
template class PackedOperand<ScaledInt16>;

}  // namespace bev::cpu
