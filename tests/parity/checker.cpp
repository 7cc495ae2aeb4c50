#include "tests/parity/checker.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/parity/fill.h"

namespace bev::parity {

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

namespace {

constexpr double nowhere = std::numeric_limits<double>::infinity();

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

Checker::Checker(const Case& test, Numbers numbers) : case_(test), numbers_(numbers) {
  for (const auto& entry : test.file.entries()) {
    if (!entry.name.starts_with("expect.")) continue;
    double& scale = scale_[kind_of(entry.name)];
    scale = std::max(scale, largest(test.file.tensor(entry).data<double>(), entry.shape.elements()));
  }
}

void Checker::compare(const std::string& entry, std::string_view name, const std::vector<double>& ours) {
  const Tensor expected = case_.file.tensor(entry);
  if (expected.size() != static_cast<int64_t>(ours.size())) {
    found_[entry] = {nowhere, ": another number of elements"};
    return;
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
    found_[entry] = {worst / std::max(largest(theirs, expected.size()), floor)};
  } else {
    found_[entry] = {std::sqrt(error) / std::max(std::sqrt(size), floor * std::sqrt(count))};
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
    if (kind == "grad") found_[whole] = {nowhere, ": a gradient that should not exist"};
    return;
  }
  const auto elements = static_cast<int64_t>(ours.size());
  std::vector<double> sampled;
  for (const int64_t i : sampled_elements(name, elements)) sampled.push_back(ours[static_cast<size_t>(i)]);
  compare(norms, "", {norm(ours)});
  compare(samples, "", sampled);
}

std::map<std::string, Found> Checker::finish() {
  for (const auto& entry : case_.file.entries()) {
    if (entry.name.starts_with("expect.")) found_.try_emplace(entry.name, Found{nowhere, ": was not computed"});
  }
  return found_;
}

}  // namespace bev::parity
