// What happens to tokens on their way into the model: conversion from their stored type, and the mask of rows that hold
// data.
#pragma once

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
  /// Of a token that holds data, its first element and the byte in the mask.
  double bytes(int64_t rows) const { return (sizeof(Stored) + 1.0) * static_cast<double>(rows); }
};

struct CopyMask {
  using Element = float;
  const uint8_t* valid;  // [samples, tokens], or null: all are
  MaskColumns out;
  BEV_HD void operator()(int64_t i) const { out.at(i / out.tokens, i % out.tokens) = valid ? valid[i] != 0 : 1; }
  double bytes(int64_t n) const { return (valid ? 2.0 : 1.0) * static_cast<double>(n); }
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
  double bytes(int64_t samples) const { return static_cast<double>(samples * columns.tokens); }
};

}  // namespace bev
