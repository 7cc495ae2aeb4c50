// What happens to tokens on their way into the model: conversion from their stored type, the mask of rows that hold
// data, and putting sets of tokens side by side.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "kernels/annotate.h"
#include "kernels/convert.h"

namespace bev {

template <class T, class Stored>
struct ConvertElements {
  using Element = T;
  const Stored* x;
  T* y;
  BEV_HD void operator()(int64_t i) const { y[i] = from_stored<T>(x[i]); }
  double bytes(int64_t n) const { return static_cast<double>(n) * (sizeof(Stored) + sizeof(T)); }
};

/// Where one set's columns are in a mask of several sets, [samples, stride] bytes.
struct MaskColumns {
  uint8_t* mask;
  int64_t first, tokens, stride;
  BEV_HD uint8_t& at(int64_t sample, int64_t token) const { return mask[sample * stride + first + token]; }
};

/// A token is valid where its row is not all zero. One row of the launch is one token.
template <class Stored>
struct FindValidTokens {
  using Element = std::conditional_t<std::is_same_v<Stored, double>, double, float>;
  const Stored* x;  // [samples, tokens, width]
  MaskColumns out;
  int64_t width;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const Stored* token = x + row * width;
    // Nearly every row that holds data is decided by its first element.
    int any = from_stored<Element>(token[0]) != 0;
    if (!any) any = team.template max<int>(width, [&](int64_t i) { return from_stored<Element>(token[i]) != 0; });
    if (team.leader()) out.at(row / out.tokens, row % out.tokens) = static_cast<uint8_t>(any);
  }
};

struct CopyMask {
  using Element = float;
  const uint8_t* valid;  // [samples, tokens], or null: all are
  MaskColumns out;
  BEV_HD void operator()(int64_t i) const { out.at(i / out.tokens, i % out.tokens) = valid ? valid[i] != 0 : 1; }
};

/// Where no token is valid, none is masked. One row of the launch is one sample.
struct UnmaskIfEmpty {
  using Element = float;
  MaskColumns columns;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t sample) const {
    const int any =
        team.template max<int>(columns.tokens, [&](int64_t t) { return static_cast<int>(columns.at(sample, t)); });
    team.sync();
    if (!any) team.each(columns.tokens, [&](int64_t t) { columns.at(sample, t) = 1; });
  }
};

/// y = [x_0; x_1; ...] (+ position), sample by sample. One row of the launch is one token of y.
template <class T>
struct JoinTokens {
  static constexpr int parts_at_most = 4;
  using Element = T;
  std::array<const T*, parts_at_most> x;            // [samples, tokens, width] each
  std::array<int64_t, parts_at_most + 1> boundary;  // part i holds tokens boundary[i] .. boundary[i + 1] - 1
  int parts;
  const T* position;  // [at least all tokens, width], or null
  T* y;
  int64_t width;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t tokens = boundary[parts], sample = row / tokens, token = row % tokens;
    int part = 0;
    while (token >= boundary[part + 1]) ++part;
    const int64_t count = boundary[part + 1] - boundary[part];
    const T* in = x[part] + (sample * count + token - boundary[part]) * width;
    T* out = y + row * width;
    if (position) {
      const T* add = position + token * width;
      team.each(width, [&](int64_t i) { out[i] = in[i] + add[i]; });
    } else {
      team.each(width, [&](int64_t i) { out[i] = in[i]; });
    }
  }
  double bytes(int64_t rows) const { return 2.0 * sizeof(T) * static_cast<double>(rows * width); }
};

/// The gradient of one part: its rows of d_y. One row of the launch is one token of the part.
template <class T>
struct PartOfTokens {
  using Element = T;
  const T* d_y;  // [samples, tokens, width]
  T* d_x;        // [samples, count, width]
  int64_t tokens, first, count, width;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T* in = d_y + (row / count * tokens + first + row % count) * width;
    T* out = d_x + row * width;
    if (accumulate) {
      team.each(width, [&](int64_t i) { out[i] += in[i]; });
    } else {
      team.each(width, [&](int64_t i) { out[i] = in[i]; });
    }
  }
  double bytes(int64_t rows) const { return (accumulate ? 3.0 : 2.0) * sizeof(T) * static_cast<double>(rows * width); }
};

/// The gradient of a position embedding that has more rows than there are tokens: those behind get none. Rows of the
/// launch are samples, columns the elements of the embedding.
template <class T>
struct PositionGradient {
  using Element = T;
  static constexpr int sums = 1;
  const T* d_y;  // [samples, used]
  T* d_position;
  int64_t used;  // elements
  bool accumulate;

  BEV_HD std::array<T, 1> value(int64_t sample, int64_t col) const {
    return {col < used ? d_y[sample * used + col] : T(0)};
  }
  BEV_HD void finish(int64_t col, const std::array<T, 1>& total) const {
    d_position[col] = accumulate ? d_position[col] + total[0] : total[0];
  }
};

}  // namespace bev
