// Blocks of the factors of a product, packed for the tiles of block_product.h: A row by row, B in strips as wide as a
// tile, transposed where needed, and rounded on the way where factors are (factors.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "runtime/cpu/blocking.h"
#include "runtime/cpu/factors.h"

namespace bev::cpu {

namespace detail {

/// Factor::along from `count` numbers, and zeros where a vector takes more.
template <class Factor>
void load_along(const typename Factor::Number* in, int64_t count, Vector<typename Factor::Packed>& out) {
  constexpr int64_t whole = Blocking<Factor>::lanes * Factor::numbers;
  if (count >= whole) return Factor::along(in, out);
  typename Factor::Number padded[whole] = {};
  std::copy_n(in, std::max<int64_t>(count, 0), padded);
  Factor::along(padded, out);
}

/// Factor::across from the upper left of `deep` rows of `wide` numbers, and zeros where a vector takes more.
template <class Factor>
void load_across(const typename Factor::Number* in, int64_t next, int64_t deep, int64_t wide,
                 Vector<typename Factor::Packed>& out) {
  constexpr int64_t lanes = Blocking<Factor>::lanes, numbers = Factor::numbers;
  if (deep >= numbers && wide >= lanes) return Factor::across(in, next, out);
  typename Factor::Number padded[numbers * lanes] = {};
  for (int64_t p = 0; p < std::min(deep, numbers); ++p) {
    std::copy_n(in + p * next, std::clamp<int64_t>(wide, 0, lanes), padded + p * lanes);
  }
  Factor::across(padded, lanes, out);
}

/// A[rows, depth] as packed[i * a_row + p], by whole vectors: there is room for them, and zeros where A has no more.
template <class Factor>
requires(!Blocking<Factor>::scaled) void pack_a(int64_t rows, int64_t depth, Operand<typename Factor::Number> a,
                                                typename Factor::Packed* packed) {
  using B = Blocking<Factor>;
  for (int64_t p = 0; p < depth; p += B::lanes * Factor::numbers) {
    typename Factor::Packed* out = packed + p / Factor::numbers;
    if (a.column == 1) {
      const auto pack = [&](const auto& load) {
        for (int64_t i = 0; i < rows; ++i) {
          Vector<typename Factor::Packed> vector;
          load(i, vector);
          std::memcpy(out + i * B::a_row, &vector, vector_bytes);
        }
      };
      if (depth - p >= B::lanes * Factor::numbers) {
        pack([&](int64_t i, auto& vector) { Factor::along(a.at(i, p), vector); });
      } else {
        pack([&](int64_t i, auto& vector) { load_along<Factor>(a.at(i, p), depth - p, vector); });
      }
      continue;
    }
    for (int64_t i = 0; i < rows; i += B::lanes) {
      const auto load = [&](int64_t row, auto& vector) {
        const int64_t first = p + row * Factor::numbers;
        load_across<Factor>(a.at(i, first), a.column, depth - first, rows - i, vector);
      };
      const auto load_whole = [&](int64_t row, auto& vector) {
        Factor::across(a.at(i, p + row * Factor::numbers), a.column, vector);
      };
      if (depth - p >= B::lanes * Factor::numbers && rows - i >= B::lanes) {
        transpose_block(load_whole, out + i * B::a_row, B::a_row);
      } else {
        transpose_block(load, out + i * B::a_row, B::a_row);
      }
    }
  }
}

/// B[depth, columns] as packed[p * tile_columns + j], zero for j from `columns` on; as many rows as whole vectors have
/// where B is transposed.
template <class Factor, Store how = Store::cached>
requires(!Blocking<Factor>::scaled) void pack_b(int64_t depth, int64_t columns, Operand<typename Factor::Number> b,
                                                typename Factor::Packed* packed) {
  using B = Blocking<Factor>;
  constexpr int64_t width = B::tile_columns;
  if (b.column == 1) {
    const auto pack = [&](int64_t p, const auto& load) {
#pragma GCC unroll 2
      for (int64_t j = 0; j < width; j += B::lanes) {
        Vector<typename Factor::Packed> vector;
        load(j, vector);
        store<how, typename Factor::Packed>(packed + p / Factor::numbers * width + j, vector);
      }
    };
    const int64_t whole = columns >= width ? depth / Factor::numbers * Factor::numbers : 0;
    for (int64_t p = 0; p < whole; p += Factor::numbers) {
      pack(p, [&](int64_t j, auto& vector) { Factor::across(b.at(p, j), b.row, vector); });
    }
    for (int64_t p = whole; p < depth; p += Factor::numbers) {
      pack(p, [&](int64_t j, auto& vector) { load_across<Factor>(b.at(p, j), b.row, depth - p, columns - j, vector); });
    }
    return;
  }
  for (int64_t j = 0; j < width; j += B::lanes) {
    for (int64_t p = 0; p < depth; p += B::lanes * Factor::numbers) {
      const auto load = [&](int64_t column, auto& vector) {
        load_along<Factor>(b.at(p, j + column), j + column < columns ? depth - p : 0, vector);
      };
      const auto load_whole = [&](int64_t column, auto& vector) { Factor::along(b.at(p, j + column), vector); };
      typename Factor::Packed* out = packed + p / Factor::numbers * width + j;
      if (depth - p >= B::lanes * Factor::numbers && columns - j >= B::lanes) {
        transpose_block<typename Factor::Packed, how>(load_whole, out, width);
      } else {
        transpose_block<typename Factor::Packed, how>(load, out, width);
      }
    }
  }
}

}  // namespace detail
}  // namespace bev::cpu
