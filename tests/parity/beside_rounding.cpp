#include "tests/parity/beside_rounding.h"

#include <algorithm>
#include <cmath>

namespace bev::parity {

namespace {

constexpr double all_at_most = 1.25, most_at_most = 3, entry_at_most = 6;
constexpr double float_sums = 5e-5;                  // what no rounding of factors explains, as in limits.cpp
constexpr size_t enough = 16, enough_of_all = 1000;  // entries, for what is said of most of them

/// The share of a kind's entries that may be further off than `most_at_most`. AdamW divides a gradient by its own size,
/// so that weights follow rounding where a gradient is nothing else.
double exempt_of(std::string_view kind) { return kind == "param" || kind == "ema" ? 0.10 : 0.05; }

/// The norm of a large tensor, in the place of its elements: one number, whose error may happen to be next to nothing.
bool is_norm(std::string_view entry) { return entry.starts_with("expect." + kind_of(entry) + "_norm."); }

/// Of at least one number; NaN counts as infinite.
double middle(std::vector<double> values) {
  for (double& value : values) value = std::isnan(value) ? std::numeric_limits<double>::infinity() : value;
  const auto half = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), half, values.end());
  return *half;
}

/// The errors that rounding makes in a case.
class Yardstick {
 public:
  explicit Yardstick(const std::map<std::string, Found>& rounded) : rounded_(rounded) {
    for (const auto& [entry, found] : rounded) {
      if (is_norm(entry)) continue;
      Sum& sum = sums_[kind_of(entry)];
      sum.squares += found.error * found.error;
      ++sum.count;
    }
  }

  /// Of this entry. Single numbers are taken with the tensor that they are made of: the norm of a tensor is at most as
  /// far off as the tensor, of which a sample is known, and the loss about as far as the prediction.
  double of(const std::string& entry) const {
    double out = at(entry);
    if (is_norm(entry)) {
      const std::string kind = "expect." + kind_of(entry);
      out = std::max(out, at(kind + "_sample" + entry.substr(kind.size() + std::string_view("_norm").size())));
    }
    return entry == "expect.loss" ? std::max(out, at("expect.pred")) : out;
  }

  /// Of this entry, or what is typical of its kind where that is more: whether a ReLU of its own flips is chance, and
  /// AdamW makes a whole step of the sign of a gradient that is all rounding.
  double typical(const std::string& entry) const {
    const auto sum = sums_.find(kind_of(entry));
    return sum == sums_.end() ? of(entry) : std::max(of(entry), std::sqrt(sum->second.squares / sum->second.count));
  }

 private:
  struct Sum {
    double squares = 0, count = 0;
  };
  double at(const std::string& entry) const {
    const auto found = rounded_.find(entry);
    return found == rounded_.end() ? 0 : found->second.error;
  }

  const std::map<std::string, Found>& rounded_;
  std::map<std::string, Sum> sums_;  // by kind
};

}  // namespace

bool BesideRounding::judge(const Case& test, const std::map<std::string, Found>& found, const ByRounding& rounded,
                           bool verbose) {
  const Yardstick yardstick(rounded.most), least(rounded.least);
  struct Kind {
    std::vector<double> ratios;
    size_t far = 0;
    double worst = 0;
  };
  std::map<std::string, Kind> kinds;
  int out = 0;
  for (const auto& [entry, result] : found) {
    const double by_rounding = yardstick.of(entry);
    const double limit = float_sums + entry_at_most * yardstick.typical(entry);
    const bool good = result.error <= limit && std::isfinite(limit);
    out += !good;
    if (verbose || !good) {
      fmt::print("  {:4} {:9.2e}, by rounding {:9.2e}, at most {:9.2e}  {}{}\n", good ? "ok" : "FAIL", result.error,
                 by_rounding, limit, entry, result.note);
    }
    Kind& kind = kinds[kind_of(entry)];
    kind.worst = result.error <= kind.worst ? kind.worst : result.error;
    if (is_norm(entry) || (result.error <= float_sums && by_rounding <= float_sums)) continue;
    kind.ratios.push_back(result.error / by_rounding);
    if (!rounded.least.empty()) beside_least_.push_back(result.error / least.of(entry));
    kind.far += !(result.error <= float_sums + most_at_most * by_rounding);
  }
  for (const auto& [name, kind] : kinds) {
    const size_t count = kind.ratios.size();
    if (count == 0) continue;
    const bool good = count < enough || static_cast<double>(kind.far) <= exempt_of(name) * static_cast<double>(count);
    out += !good;
    fmt::print("  {:4} {:10} worst {:9.2e}; of {} beside rounding {} above {} times, in the middle {:.2f}\n",
               good ? "ok" : "FAIL", name, kind.worst, count, kind.far, most_at_most, middle(kind.ratios));
    beside_most_.insert(beside_most_.end(), kind.ratios.begin(), kind.ratios.end());
  }
  const bool good = out == 0 && !found.empty();
  fmt::print("{} {}: {} entries compared, {} out\n", good ? "ok  " : "FAIL", test.file.path(), found.size(), out);
  return good;
}

bool BesideRounding::finish() const {
  if (beside_most_.size() < enough_of_all) return true;
  const double most = middle(beside_most_);
  const bool good = most <= all_at_most;
  fmt::print("{} {:.3f} times the error of rounding in the middle of all {} entries, expected at most {:.2f}\n",
             good ? "ok  " : "FAIL", most, beside_most_.size(), all_at_most);
  if (beside_least_.empty()) return good;
  const double least = middle(beside_least_);
  const bool rounded = least >= 1 / all_at_most;
  fmt::print("{} {:.3f} times the least that it may be, expected at least {:.2f}\n", rounded ? "ok  " : "FAIL", least,
             1 / all_at_most);
  return good && rounded;
}

}  // namespace bev::parity
