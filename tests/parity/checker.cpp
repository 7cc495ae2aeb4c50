#include "tests/parity/checker.h"

#include <algorithm>
#include <cmath>

#include "tests/parity/fill.h"

namespace bev::parity {

namespace {

/// "expect.grad_norm.model.x" -> "grad"; "expect.grad_norms" -> "grad_norms".
std::string kind_of(std::string_view entry) {
  entry.remove_prefix(std::string_view("expect.").size());
  const size_t dot = entry.find('.');
  if (dot == std::string_view::npos) return std::string(entry);
  entry = entry.substr(0, dot);
  for (const std::string_view suffix : {"_norm", "_sample"}) {
    if (entry.ends_with(suffix)) entry.remove_suffix(suffix.size());
  }
  return std::string(entry);
}

double largest(const double* values, int64_t count) {
  double out = 0;
  for (int64_t i = 0; i < count; ++i) out = std::max(out, std::abs(values[i]));
  return out;
}

double norm(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

}  // namespace

Checker::Checker(const Case& test, Numbers numbers, bool verbose) : case_(test), numbers_(numbers), verbose_(verbose) {
  for (const auto& entry : test.file.entries()) {
    if (!entry.name.starts_with("expect.")) continue;
    seen_[entry.name] = false;
    double& scale = scale_[kind_of(entry.name)];
    scale = std::max(scale, largest(test.file.tensor(entry).data<double>(), entry.shape.elements()));
  }
}

const SafetensorsFile::Entry* Checker::find(const std::string& entry) {
  const auto* found = case_.file.find(entry);
  if (found) seen_[entry] = true;
  return found;
}

double Checker::limit(std::string_view kind) const {
  if (numbers_ == Numbers::f64) return 1e-9;
  const bool raster = case_.policy.mode == BevMode::raster;
  const bool direct = kind == "loss" || kind == "pred" || kind == "sample" || kind == "trajectory" || kind == "mid";
  double limit = 5e-5;
  if (raster && case_.kind == CaseKind::train) {
    limit = 3e-2;  // AdamW divides rounding by its own size
  } else if (raster && !direct) {
    limit = 5e-3;  // a single ReLU on the edge flips
  }
  // Products round their factors to 10 bits (TF32) or 7 bits (bf16) of mantissa where float32 keeps 23; errors of
  // rounding average out over the sums, and what is left was the square root's share of 2^13 and 2^16 at most in sums
  // of thousands.
  if (numbers_ == Numbers::tf32) return std::max(limit, 2e-2);
  if (numbers_ == Numbers::bf16) return std::max(limit, 1e-1);
  return limit;
}

void Checker::report(const std::string& entry, double error, const char* what) {
  const std::string kind = kind_of(entry);
  const bool good = error <= limit(kind);  // false for NaN
  ++compared_;
  failed_ += !good;
  if (verbose_ || !good) fmt::print("  {:4} {:9.2e}  {}{}\n", good ? "ok" : "FAIL", error, entry, what);
  Worst& worst = worst_[kind];
  if (!(error <= worst.error)) worst = {error, entry};
}

void Checker::compare(const std::string& entry, std::string_view name, const std::vector<double>& ours) {
  const Tensor expected = case_.file.tensor(entry);
  if (expected.size() != static_cast<int64_t>(ours.size())) {
    return report(entry, std::numeric_limits<double>::infinity(), ": another number of elements");
  }
  // Without effect on the function, its gradient pure rounding: compared in float64 only.
  const bool leave_keys = numbers_ != Numbers::f64 && name.ends_with("in_proj_bias") && ours.size() % 3 == 0;
  const size_t third = ours.size() / 3;
  const double* theirs = expected.data<double>();
  double worst = 0, error = 0, size = 0, count = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    if (leave_keys && i >= third && i < 2 * third) continue;
    const double difference = std::abs(ours[i] - theirs[i]);
    worst = difference <= worst ? worst : difference;
    error += difference * difference;
    size += theirs[i] * theirs[i];
    count += 1;
  }
  const double floor = 1e-3 * scale_[kind_of(entry)];
  if (numbers_ == Numbers::f64) {
    report(entry, worst / std::max(largest(theirs, expected.size()), floor), "");
  } else {
    report(entry, std::sqrt(error) / std::max(std::sqrt(size), floor * std::sqrt(count)), "");
  }
}

void Checker::check(const std::string& entry, const std::vector<double>& ours) {
  const std::string full = "expect." + entry;
  if (find(full)) compare(full, entry, ours);
}

void Checker::check(const std::string& kind, const std::string& name, const std::vector<double>& ours) {
  const std::string whole = fmt::format("expect.{}.{}", kind, name);
  if (find(whole)) return compare(whole, name, ours);
  const std::string norms = fmt::format("expect.{}_norm.{}", kind, name);
  const std::string samples = fmt::format("expect.{}_sample.{}", kind, name);
  if (!find(norms) || !find(samples)) {
    if (kind == "grad") report(whole, std::numeric_limits<double>::infinity(), ": a gradient that should not exist");
    return;
  }
  const auto elements = static_cast<int64_t>(ours.size());
  std::vector<double> sampled;
  for (const int64_t i : sampled_elements(name, elements)) sampled.push_back(ours[static_cast<size_t>(i)]);
  compare(norms, "", {norm(ours)});
  compare(samples, "", sampled);
}

bool Checker::finish() {
  for (const auto& [entry, seen] : seen_) {
    if (!seen) report(entry, std::numeric_limits<double>::infinity(), ": was not computed");
  }
  for (const auto& [kind, worst] : worst_) {
    fmt::print("  {:10} worst {:9.2e} of {:9.0e}  {}\n", kind, worst.error, limit(kind), worst.entry);
  }
  fmt::print("{} {}: {} entries compared, {} out\n", failed_ || !compared_ ? "FAIL" : "ok  ", case_.file.path(),
             compared_, failed_);
  return failed_ == 0 && compared_ > 0;
}

}  // namespace bev::parity
