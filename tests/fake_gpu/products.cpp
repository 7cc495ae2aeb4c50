#include "tests/fake_gpu/products.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <list>
#include <mutex>
#include <string>

namespace bev::fake_gpu {

namespace {

/// Ends the mantissa after `kept` of its 23 bits, to the nearest, ties to even.
float nearest(float x, int kept) {
  if (!std::isfinite(x)) return x;
  auto bits = std::bit_cast<uint32_t>(x);
  const int gone = 23 - kept;
  const uint32_t last = bits >> gone & 1;
  bits += (uint32_t{1} << (gone - 1)) - 1 + last;
  return std::bit_cast<float>(bits >> gone << gone);
}

/// What FAKE_GPU_TF32 puts in the place of an algorithm's own way to TF32.
Rounding tf32(Rounding own) {
  static const std::string wanted = [] {
    const char* const text = std::getenv("FAKE_GPU_TF32");
    return std::string(text ? text : "");
  }();
  return wanted == "nearest" ? Rounding::tf32_nearest
         : wanted == "none"  ? Rounding::none
         : wanted == "bf16"  ? Rounding::bf16
                             : own;
}

constexpr size_t remembered_bytes = size_t{192} << 20;

struct Memory {
  struct Entry {
    std::array<uint64_t, 2> key;
    std::shared_ptr<const std::vector<float>> result;
  };
  std::mutex mutex;
  std::list<Entry> entries;  // the last used first
  size_t bytes = 0;
};
Memory& memory() {
  static auto* const out = new Memory;  // streams may still work when the process ends
  return *out;
}

}  // namespace

float rounded(float x, Rounding rounding) {
  const bool to_tf32 = rounding == Rounding::tf32_nearest || rounding == Rounding::tf32_truncated;
  switch (to_tf32 ? tf32(rounding) : rounding) {
    case Rounding::tf32_nearest:
      return nearest(x, 10);
    case Rounding::tf32_truncated:
      return std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0xffffe000U);
    case Rounding::bf16:
      return nearest(x, 7);
    case Rounding::none:
      break;
  }
  return x;
}

float from_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
uint16_t to_bf16(float x) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(nearest(x, 7)) >> 16); }

template <class T>
std::vector<T> packed(const MatrixView& view, Rounding rounding) {
  std::vector<T> out(static_cast<size_t>(view.rows * view.cols));
  const auto fill = [&](auto load) {
    for (int64_t i = 0; i < view.rows; ++i) {
      T* const row = out.data() + i * view.cols;
      for (int64_t j = 0; j < view.cols; ++j) row[j] = load(i * view.row_step + j * view.col_step);
    }
  };
  if (view.type == CUDA_R_64F) {
    fill([data = static_cast<const double*>(view.data)](int64_t at) { return static_cast<T>(data[at]); });
  } else if (view.type == CUDA_R_16BF) {
    fill([data = static_cast<const uint16_t*>(view.data)](int64_t at) { return from_bf16(data[at]); });
  } else {
    fill([data = static_cast<const float*>(view.data)](int64_t at) { return data[at]; });
    for (T& x : out) x = static_cast<T>(rounded(static_cast<float>(x), rounding));
  }
  return out;
}

template <class T>
std::vector<T> product(const T* a, const T* b, int64_t m, int64_t n, int64_t k, int64_t splits) {
  constexpr int64_t height = 4, width = 128 / sizeof(T);  // of a tile of c whose sums stay in registers
  std::vector<T> c(static_cast<size_t>(m * n), 0), panel(static_cast<size_t>(k * width));
  const int64_t run = std::max<int64_t>(1, (k + splits - 1) / splits);
  for (int64_t j = 0; j < n; j += width) {
    const int64_t columns = std::min(width, n - j);
    std::fill(panel.begin(), panel.end(), T(0));
    for (int64_t l = 0; l < k; ++l) std::copy_n(b + l * n + j, columns, panel.data() + l * width);
    for (int64_t i = 0; i < m; i += height) {
      const T* rows[height];
      for (int64_t r = 0; r < height; ++r) rows[r] = a + std::min(i + r, m - 1) * k;
      for (int64_t first = 0; first < k; first += run) {
        T sums[height][width] = {};
        for (int64_t l = first; l < std::min(first + run, k); ++l) {
          const T* const factors = panel.data() + l * width;
          for (int64_t r = 0; r < height; ++r) {
            const T x = rows[r][l];
            for (int64_t w = 0; w < width; ++w) sums[r][w] += x * factors[w];
          }
        }
        for (int64_t r = 0; r < std::min(height, m - i); ++r) {
          for (int64_t w = 0; w < columns; ++w) c[static_cast<size_t>((i + r) * n + j + w)] += sums[r][w];
        }
      }
    }
  }
  return c;
}

template std::vector<float> packed<float>(const MatrixView&, Rounding);
template std::vector<double> packed<double>(const MatrixView&, Rounding);
template std::vector<float> product<float>(const float*, const float*, int64_t, int64_t, int64_t, int64_t);
template std::vector<double> product<double>(const double*, const double*, int64_t, int64_t, int64_t, int64_t);

void Digest::add(const void* data, size_t bytes) {
  const auto* at = static_cast<const std::byte*>(data);
  const auto mix = [](uint64_t& lane, uint64_t word) {
    lane = (lane ^ word) * 0x9e3779b97f4a7c15ULL;
    lane ^= lane >> 29;
  };
  mix(lanes_[0], bytes);
  size_t i = 0;
  for (; i + 32 <= bytes; i += 32) {
    uint64_t words[4];
    std::memcpy(words, at + i, sizeof words);
    for (size_t lane = 0; lane < 4; ++lane) mix(lanes_[lane], words[lane]);
  }
  for (; i < bytes; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, at + i, std::min<size_t>(8, bytes - i));
    mix(lanes_[i / 8 % 4], word);
  }
}

std::array<uint64_t, 2> Digest::value() const {
  return {lanes_[0] * 31 + std::rotl(lanes_[1], 17), lanes_[2] * 31 + std::rotl(lanes_[3], 17)};
}

std::shared_ptr<const std::vector<float>> remembered(const Digest& digest,
                                                     const std::function<std::vector<float>()>& compute) {
  Memory& known = memory();
  const auto key = digest.value();
  {
    const std::lock_guard lock(known.mutex);
    const auto found =
        std::find_if(known.entries.begin(), known.entries.end(), [&](const auto& entry) { return entry.key == key; });
    if (found != known.entries.end()) {
      known.entries.splice(known.entries.begin(), known.entries, found);
      return found->result;
    }
  }
  const auto result = std::make_shared<const std::vector<float>>(compute());
  const std::lock_guard lock(known.mutex);
  known.entries.push_front({key, result});
  known.bytes += result->size() * sizeof(float);
  while (known.entries.size() > 64 || (known.bytes > remembered_bytes && known.entries.size() > 1)) {
    known.bytes -= known.entries.back().result->size() * sizeof(float);
    known.entries.pop_back();
  }
  return result;
}

}  // namespace bev::fake_gpu
