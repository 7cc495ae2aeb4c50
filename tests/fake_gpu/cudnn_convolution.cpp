#include "tests/fake_gpu/cudnn_convolution.h"

#include <atomic>
#include <sstream>

namespace bev::fake_gpu {

namespace {

using Numbers = std::vector<float>;

/// Places in memory, in the order n, h, w, c.
template <class Visit>
void visit(const CudnnTensor& t, Visit&& at) {
  size_t dense = 0;
  for (int64_t n = 0; n < t.size[0]; ++n) {
    for (int64_t h = 0; h < t.size[2]; ++h) {
      for (int64_t w = 0; w < t.size[3]; ++w) {
        const int64_t place = n * t.stride[0] + h * t.stride[2] + w * t.stride[3];
        for (int64_t c = 0; c < t.size[1]; ++c) at(dense++, place + c * t.stride[1]);
      }
    }
  }
}

Numbers gathered(const CudnnTensor& t, const float* data, Rounding rounding) {
  Numbers out(static_cast<size_t>(t.elements()));
  visit(t, [&](size_t dense, int64_t place) { out[dense] = rounded(data[place], rounding); });
  return out;
}

Numbers transposed(const float* a, int64_t rows, int64_t cols) {
  Numbers out(static_cast<size_t>(rows * cols));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) out[static_cast<size_t>(j * rows + i)] = a[i * cols + j];
  }
  return out;
}

struct Sizes {
  int64_t n, h, w, c, k, r, s, p, q;
  explicit Sizes(const CudnnConvolution& o)
      : n(o.x.size[0]),
        h(o.x.size[2]),
        w(o.x.size[3]),
        c(o.x.size[1]),
        k(o.w.size[0]),
        r(o.w.size[2]),
        s(o.w.size[3]),
        p(o.y.size[2]),
        q(o.y.size[3]) {}
  int64_t places() const { return p * q; }
  int64_t terms() const { return r * s * c; }
};

/// Calls `pair(column entry, image entry)` for c channels at a time: where places of an image [h, w, c] stand in its
/// matrix of windows [p * q, r * s * c].
template <class Pair>
void windows(const CudnnConvolution& o, const Sizes& z, Pair&& pair) {
  for (int64_t p = 0; p < z.p; ++p) {
    for (int64_t q = 0; q < z.q; ++q) {
      for (int64_t r = 0; r < z.r; ++r) {
        const int64_t h = p * o.step[0] - o.before[0] + r * o.dilation[0];
        if (h < 0 || h >= z.h) continue;
        for (int64_t s = 0; s < z.s; ++s) {
          const int64_t w = q * o.step[1] - o.before[1] + s * o.dilation[1];
          if (w < 0 || w >= z.w) continue;
          pair((p * z.q + q) * z.terms() + (r * z.s + s) * z.c, (h * z.w + w) * z.c);
        }
      }
    }
  }
}

Numbers columns_of(const CudnnConvolution& o, const Sizes& z, const float* image) {
  Numbers out(static_cast<size_t>(z.places() * z.terms()), 0.0F);
  windows(o, z, [&](int64_t to, int64_t from) {
    for (int64_t c = 0; c < z.c; ++c) out[static_cast<size_t>(to + c)] = image[from + c];
  });
  return out;
}

/// The dense result in the order of visit(), from dense factors.
Numbers convolved(const CudnnConvolution& o, const Numbers& first, const Numbers& second, int64_t splits) {
  const Sizes z(o);
  Numbers out(static_cast<size_t>(o.result().elements()), 0.0F);
  const int64_t image = z.h * z.w * z.c, map = z.places() * z.k;
  const Numbers filter =
      o.direction == CudnnConvolution::forward ? transposed(second.data(), z.k, z.terms()) : Numbers();
  for (int64_t n = 0; n < z.n; ++n) {
    if (o.direction == CudnnConvolution::forward) {  // x, w
      const Numbers columns = columns_of(o, z, first.data() + n * image);
      const Numbers y = product(columns.data(), filter.data(), z.places(), z.k, z.terms(), splits);
      std::copy(y.begin(), y.end(), out.begin() + n * map);
    } else if (o.direction == CudnnConvolution::backward_data) {  // y, w
      const Numbers columns = product(first.data() + n * map, second.data(), z.places(), z.terms(), z.k, splits);
      windows(o, z, [&](int64_t from, int64_t to) {
        for (int64_t c = 0; c < z.c; ++c)
          out[static_cast<size_t>(n * image + to + c)] += columns[static_cast<size_t>(from + c)];
      });
    } else {  // x, y
      const Numbers columns = columns_of(o, z, first.data() + n * image);
      const Numbers y = transposed(second.data() + n * map, z.places(), z.k);
      const Numbers part = product(y.data(), columns.data(), z.k, z.terms(), z.places(), splits);
      for (size_t i = 0; i < out.size(); ++i) out[i] += part[i];
    }
  }
  return out;
}

/// Every member, in one order for both ways.
template <class Self, class Each>
void each_member(Self& o, Each&& each) {
  each(o.direction);
  for (auto* t : {&o.x, &o.w, &o.y}) {
    each(t->id);
    each(t->alignment);
    for (auto& size : t->size) each(size);
    for (auto& stride : t->stride) each(stride);
  }
  for (auto* pair : {&o.before, &o.after, &o.step, &o.dilation}) {
    for (auto& value : *pair) each(value);
  }
  each(o.engine);
  each(o.workspace);
}

}  // namespace

int64_t CudnnTensor::extent() const {
  int64_t out = 1;
  for (size_t i = 0; i < size.size(); ++i) out += (size[i] - 1) * stride[i];
  return out;
}

std::string CudnnConvolution::text() const {
  std::ostringstream out;
  out << "convolution ("
      << (direction == forward         ? "forward"
          : direction == backward_data ? "data"
                                       : "filter")
      << ") x";
  for (const int64_t size : x.size) out << ' ' << size;
  out << ", w";
  for (const int64_t size : w.size) out << ' ' << size;
  out << ", engine " << engine;
  return out.str();
}

std::string CudnnConvolution::written() const {
  std::ostringstream out;
  each_member(*this, [&](int64_t value) { out << value << ' '; });
  out << std::hexfloat << alpha << ' ' << beta << ' ' << static_cast<int>(rounding) << ' ' << repeats << ' ' << refuses;
  return out.str();
}

std::optional<CudnnConvolution> CudnnConvolution::read(const std::string& line) {
  std::istringstream in(line);
  CudnnConvolution out;
  each_member(out, [&](int64_t& value) { in >> value; });
  std::string alpha, beta;
  int rounding = 0;
  if (!(in >> alpha >> beta >> rounding >> out.repeats >> out.refuses)) return std::nullopt;
  out.alpha = std::strtof(alpha.c_str(), nullptr);
  out.beta = std::strtof(beta.c_str(), nullptr);
  out.rounding = static_cast<Rounding>(rounding);
  return out;
}

void compute(const CudnnConvolution& o, float* x, float* w, float* y) {
  static std::atomic<int64_t> calls = 0;
  const bool reads_x = o.direction != CudnnConvolution::backward_data;
  const Numbers first = reads_x ? gathered(o.x, x, o.rounding) : gathered(o.y, y, o.rounding);
  const Numbers second =
      o.direction == CudnnConvolution::backward_filter ? gathered(o.y, y, o.rounding) : gathered(o.w, w, o.rounding);
  const int64_t splits = o.repeats ? 1 + o.engine % 3 : 1 + ++calls % 7;
  Digest digest;
  CudnnConvolution shape = o;  // without what does not matter
  shape.engine = shape.workspace = 0;
  shape.alpha = shape.beta = 0;
  const std::string name = shape.written();
  digest.add(name.data(), name.size());
  digest.add(splits);
  digest.add(first);
  digest.add(second);
  const auto result = remembered(digest, [&] { return convolved(o, first, second, splits); });
  float* const out = o.direction == CudnnConvolution::forward         ? y
                     : o.direction == CudnnConvolution::backward_data ? x
                                                                      : w;
  visit(o.result(), [&](size_t dense, int64_t place) {
    const float fresh = o.alpha * (*result)[dense];
    out[place] = o.beta == 0 ? fresh : fresh + o.beta * out[place];
  });
}

}  // namespace bev::fake_gpu
