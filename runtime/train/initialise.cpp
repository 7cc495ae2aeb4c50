#include "runtime/train/initialise.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "kernels/philox.h"
#include "runtime/cpu/block_matmul.h"
#include "runtime/transfer.h"

namespace bev {

namespace {

uint64_t hash_of(std::string_view name) {  // FNV-1a
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

/// Random words of one parameter: four for every group of elements.
struct Source {
  uint64_t seed, name;

  Random4 operator()(int64_t group) const {
    constexpr uint64_t purpose = 0x696E697469616C21u;  // apart from every number drawn in training
    return philox4x32(seed ^ purpose, static_cast<uint32_t>(group), static_cast<uint32_t>(group >> 32),
                      static_cast<uint32_t>(name), static_cast<uint32_t>(name >> 32));
  }
};

void fill_uniform(const Source& source, double bound, std::vector<double>& out) {
  const auto size = static_cast<int64_t>(out.size());
#pragma omp parallel for schedule(static)
  for (int64_t group = 0; group < (size + 3) / 4; ++group) {
    const Random4 bits = source(group);
    for (int64_t i = 4 * group; i < std::min(size, 4 * group + 4); ++i) {
      out[static_cast<size_t>(i)] = bound * (2 * uniform<double>(bits.word[i % 4]) - 1);
    }
  }
}

void fill_normal(const Source& source, double deviation, std::vector<double>& out) {
  const auto size = static_cast<int64_t>(out.size());
#pragma omp parallel for schedule(static)
  for (int64_t group = 0; group < (size + 1) / 2; ++group) {
    const Random4 bits = source(group);
    out[static_cast<size_t>(2 * group)] = deviation * normal(bits.word[0], bits.word[1]);
    if (2 * group + 1 < size) out[static_cast<size_t>(2 * group + 1)] = deviation * normal(bits.word[2], bits.word[3]);
  }
}

/// v -= q <q, v>, for a unit vector q.
void remove_component(const double* q, double* v, int64_t length) {
  double product = 0;
#pragma omp simd reduction(+ : product)
  for (int64_t i = 0; i < length; ++i) product += q[i] * v[i];
#pragma omp simd
  for (int64_t i = 0; i < length; ++i) v[i] -= product * q[i];
}

void make_unit(double* v, int64_t length) {
  double square = 0;
#pragma omp simd reduction(+ : square)
  for (int64_t i = 0; i < length; ++i) square += v[i] * v[i];
  const double scale = 1 / std::sqrt(square);
#pragma omp simd
  for (int64_t i = 0; i < length; ++i) v[i] *= scale;
}

/// V -= (V Q^T) Q for `rows` rows of V: their components along the `count` orthonormal rows of Q, all at once.
void remove_components(const double* q, int64_t count, double* v, int64_t rows, int64_t length) {
  std::vector<double> along(static_cast<size_t>(rows * count));
  const MatmulShape back{.m = rows, .n = length, .k = count, .lda = count, .ldb = length, .ldc = length};
  cpu::block_matmul<cpu::Exact<double>, double>(linear_shape(rows, count, length), v, q, along.data(), 1, false, {});
  cpu::block_matmul<cpu::Exact<double>, double>(back, along.data(), q, v, -1, true, {});
}

/// Gram-Schmidt on `count` <= `length` rows, each projected twice (Giraud, Langou and Rozloznik 2005: twice is enough
/// for full precision). Rows go in blocks: a block's rows lose the components of all finished rows in two products,
/// then each other's in order. Equals the Q of a QR decomposition with positive diagonal, which for normal entries is
/// uniformly distributed (Mezzadri 2007).
void orthonormalise(std::vector<double>& rows, int64_t count, int64_t length) {
  constexpr int64_t block = 32;
  const auto row = [&](int64_t i) { return rows.data() + i * length; };
  for (int64_t begin = 0; begin < count; begin += block) {
    const int64_t end = std::min(begin + block, count);
    for (int pass = 0; pass < 2; ++pass) {
      if (begin > 0) remove_components(rows.data(), begin, row(begin), end - begin, length);
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t j = begin; j < i; ++j) remove_component(row(j), row(i), length);
        make_unit(row(i), length);
      }
    }
  }
}

void fill_orthogonal(const Source& source, int64_t rows, int64_t cols, std::vector<double>& out) {
  fill_normal(source, 1, out);
  if (rows <= cols) return orthonormalise(out, rows, cols);
  std::vector<double> transposed(out.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j)
      transposed[static_cast<size_t>(j * rows + i)] = out[static_cast<size_t>(i * cols + j)];
  }
  orthonormalise(transposed, cols, rows);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j)
      out[static_cast<size_t>(i * cols + j)] = transposed[static_cast<size_t>(j * rows + i)];
  }
}

void require_matrix(const Parameter& parameter, const char* kind) {
  if (parameter.shape.rank() != 2) {
    fail(ErrorKind::runtime, "{}: {} initialisation is for matrices, not for {}", parameter.name, kind,
         parameter.shape.text());
  }
}

}  // namespace

std::vector<double> initial_values(const Parameter& parameter, uint64_t seed) {
  const Init& init = parameter.init;
  const Source source{seed, hash_of(parameter.name)};
  std::vector<double> out(static_cast<size_t>(parameter.size()));
  switch (init.kind) {
    case Init::Kind::constant:
      std::fill(out.begin(), out.end(), init.value);
      break;
    case Init::Kind::table:
      if (init.entries.size() != out.size()) {
        fail(ErrorKind::runtime, "{}: a table of {} entries cannot fill {}", parameter.name, init.entries.size(),
             parameter.shape.text());
      }
      out = init.entries;
      break;
    case Init::Kind::normal:
      fill_normal(source, init.value, out);
      break;
    case Init::Kind::uniform:
      fill_uniform(source, init.value, out);
      break;
    case Init::Kind::xavier_uniform:
      require_matrix(parameter, "Xavier");
      fill_uniform(source, std::sqrt(6.0 / static_cast<double>(parameter.shape[0] + parameter.shape[1])), out);
      break;
    case Init::Kind::orthogonal:
      require_matrix(parameter, "orthogonal");
      fill_orthogonal(source, parameter.shape[0], parameter.shape[1], out);
      break;
  }
  return out;
}

void initialise(const ParameterStore& store, Device& device, const Stream& stream, uint64_t seed) {
  if (stream.kind == DeviceKind::dry) return;
  for (const auto& parameter : store.all()) {
    const std::vector<double> values = initial_values(*parameter, seed);
    visit_float(parameter->value.dtype(), [&]<class T>(T) {
      const std::vector<T> rounded(values.begin(), values.end());
      write_to_device(device, stream, parameter->value.raw(), rounded.data(), rounded.size() * sizeof(T));
    });
  }
}

}  // namespace bev
