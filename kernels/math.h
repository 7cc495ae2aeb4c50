// The transcendental functions that hot loops need, free of branches so that compilers vectorise loops over them (the
// standard library's do not vectorise, and cost ten times the memory traffic of an activation). float: polynomials and
// rational functions fitted for this file, errors below; the same code on both devices. double: the standard library,
// since double is for checks.
//
// Fits: minimax in relative error, found by least squares with Lawson's weights on linearised residuals. Errors are
// measured against the standard library in double (tests/kernels/math_test.cpp).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/annotate.h"

namespace bev::branch_free {

/// e^x within 1 ulp. float: 0 below -87.3, infinity above 88.37, where the result or its neighbour is not normal.
template <class T>
BEV_HD inline T exp(T x) {
  if constexpr (sizeof(T) == 8) {
    return std::exp(x);
  } else {
    // x = n ln 2 + r (Cody and Waite 1980): adding 1.5 2^23 rounds x / ln 2 to an integer and leaves it in the low
    // bits.
    constexpr T shifter = T(12582912);
    const T shifted = x * T(1.44269504) + shifter;
    const T n = shifted - shifter;
    const T r = (x - n * T(0.693359375)) - n * T(-2.12194440e-4);
    T p = T(1.0 / 5040);  // Taylor to r^7: 5e-9 at |r| = ln(2)/2
    p = p * r + T(1.0 / 720);
    p = p * r + T(1.0 / 120);
    p = p * r + T(1.0 / 24);
    p = p * r + T(1.0 / 6);
    p = p * r + T(0.5);
    p = p * r + T(1);
    p = p * r + T(1);
    const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(shifter) + 127u) << 23;
    const T value = p * std::bit_cast<T>(exponent);
    const T not_small = x < T(-87.3) ? T(0) : value;
    return x > T(88.37) ? std::numeric_limits<T>::infinity() : not_small;
  }
}

/// erf(x) within 4.5 ulp. float: x P(x^2) / Q(x^2), within [-1, 1], exactly +-1 beyond 3.92.
template <class T>
BEV_HD inline T erf(T x) {
  if constexpr (sizeof(T) == 8) {
    return std::erf(x);
  } else {
    T c = x > T(3.92) ? T(3.92) : x;
    c = c < T(-3.92) ? T(-3.92) : c;
    const T t = c * c;
    T p = T(2.050003842e-6);
    p = p * t + T(0.0002848664319);
    p = p * t + T(0.003765329622);
    p = p * t + T(0.05274781948);
    p = p * t + T(0.1904011872);
    p = p * t + T(1.128379146);
    T q = T(3.808998626e-5);
    q = q * t + T(0.001162447072);
    q = q * t + T(0.01496865453);
    q = q * t + T(0.1141067427);
    q = q * t + T(0.5020714022);
    q = q * t + T(1);
    T y = c * (p / q);
    y = y > T(1) ? T(1) : y;
    y = y < T(-1) ? T(-1) : y;
    y = x > T(3.92) ? T(1) : y;
    return x < T(-3.92) ? T(-1) : y;
  }
}

/// tanh(x) within 4.5 ulp. float: x P(x^2) / Q(x^2), within [-1, 1], exactly +-1 beyond 9.02.
template <class T>
BEV_HD inline T tanh(T x) {
  if constexpr (sizeof(T) == 8) {
    return std::tanh(x);
  } else {
    T c = x > T(9.02) ? T(9.02) : x;
    c = c < T(-9.02) ? T(-9.02) : c;
    const T t = c * c;
    T p = T(1.331828071e-8);
    p = p * t + T(2.058294403e-5);
    p = p * t + T(0.003494004203);
    p = p * t + T(0.1337969344);
    p = p * t + T(0.9999999792);
    T q = T(7.761704314e-7);
    q = q * t + T(0.00032830414);
    q = q * t + T(0.02587096083);
    q = q * t + T(0.4671300876);
    q = q * t + T(1);
    T y = c * (p / q);
    y = y > T(1) ? T(1) : y;
    y = y < T(-1) ? T(-1) : y;
    y = x > T(9.02) ? T(1) : y;
    return x < T(-9.02) ? T(-1) : y;
  }
}

/// 1 / (1 + e^-x) within 2.5 ulp.
template <class T>
BEV_HD inline T sigmoid(T x) {
  return 1 / (1 + exp(-x));
}

}  // namespace bev::branch_free
