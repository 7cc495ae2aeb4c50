#include "runtime/cpu/admit.h"

#include "runtime/error.h"
#include "runtime/tally.h"

namespace bev::cpu {

namespace {

void require_beta(double beta, const std::string& shape) {
  if (beta != 0 && beta != 1) {
    fail(ErrorKind::runtime, "{}: beta is {}, expected 0 (overwrite) or 1 (accumulate)", shape, beta);
  }
}

}  // namespace

std::string text(const MatmulShape& s) {
  const auto matrix = [](int64_t rows, int64_t columns, bool transposed) {
    return transposed ? fmt::format("[{} x {}]^T", columns, rows) : fmt::format("[{} x {}]", rows, columns);
  };
  std::string out = matrix(s.m, s.k, s.transpose_a) + " x " + matrix(s.k, s.n, s.transpose_b);
  if (s.batch != 1) out += fmt::format(", batch {}", s.batch);
  return out;
}

std::string text(const ConvolutionShape& s) {
  return fmt::format("[{}, {}, {}, {}] with {} filters {} x {}, stride {}, padding {}", s.n, s.h, s.w, s.c, s.k, s.r,
                     s.s, s.stride, s.padding);
}

void require_host(const Stream& stream, const char* what) {
  if (stream.kind == DeviceKind::cuda) {
    fail(ErrorKind::runtime, "{} was asked of the CPU's engine on a stream of cuda:{}: expected a stream of the CPU",
         what, stream.ordinal);
  }
}

bool admit(const Stream& stream, const MatmulShape& shape, double beta) {
  require_valid(shape, beta);
  if (tallied(stream, shape)) return false;
  require_host(stream, "a product");
  return true;
}

void require_valid(const MatmulShape& s, double beta) {
  if (s.m < 0 || s.n < 0 || s.k < 0 || s.batch < 0) {
    fail(ErrorKind::runtime, "product {}: sizes must not be negative", text(s));
  }
  const auto require_rows = [&](const char* name, int64_t distance, int64_t length) {
    if (distance < length) {
      fail(ErrorKind::runtime, "product {}: rows of {} are {} elements apart, expected at least {}", text(s), name,
           distance, length);
    }
  };
  require_rows("A", s.lda, s.transpose_a ? s.m : s.k);
  require_rows("B", s.ldb, s.transpose_b ? s.k : s.n);
  require_rows("C", s.ldc, s.n);
  if (s.stride_a < 0 || s.stride_b < 0 || s.stride_c < 0) {
    fail(ErrorKind::runtime, "product {}: strides {}, {}, {} between batch members must not be negative", text(s),
         s.stride_a, s.stride_b, s.stride_c);
  }
  if (s.batch > 1 && s.stride_c < s.n) {
    fail(ErrorKind::runtime, "product {}: members of C are {} elements apart and would overlap", text(s), s.stride_c);
  }
  require_beta(beta, "product " + text(s));
}

void require_valid(const ConvolutionShape& s, double beta) {
  if (s.n <= 0 || s.h <= 0 || s.w <= 0 || s.c <= 0 || s.k <= 0 || s.r <= 0 || s.s <= 0 || s.stride <= 0 ||
      s.padding < 0) {
    fail(ErrorKind::runtime, "convolution {}: sizes and stride must be positive, padding not negative", text(s));
  }
  if (s.h + 2 * s.padding < s.r || s.w + 2 * s.padding < s.s) {
    fail(ErrorKind::runtime, "convolution {}: the filters are larger than the padded image", text(s));
  }
  require_beta(beta, "convolution " + text(s));
}

}  // namespace bev::cpu
