#include "tools/common/progress_printer.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

namespace bev {

namespace {

std::string distances(const std::map<std::string, double>& metrics, const std::string& who, const char* title) {
  if (!metrics.count(who + "_avg")) return "";
  std::string out = fmt::format("\n  {:18}", title);
  for (const char* horizon : {"_1s", "_2s", "_3s", "_avg"}) {
    const auto found = metrics.find(who + horizon);
    out += found == metrics.end() ? fmt::format("{:>8}", "-") : fmt::format("{:8.3f}", found->second);
  }
  return out;
}

}  // namespace

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  const int64_t hours = whole / 3600, minutes = whole / 60 % 60;
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60);
  return fmt::format("{}:{:02}", minutes, whole % 60);
}

std::string describe(const Progress& p) {
  std::string out = fmt::format(
      "epoch {}/{}  step {}/{}  loss {:.4g}  lr {:.2e}  norm {:.3g}  {:.0f} samples/s  data {:.0f} %  {} left", p.epoch,
      p.epochs, p.step, p.steps, p.loss, p.learning_rate, p.gradient_norm, p.samples_per_second, 100 * p.waiting_share,
      duration_text(p.seconds_left));
  if (p.skipped > 0) out += fmt::format("  {} skipped", p.skipped);
  return out;
}

std::string describe(const ValidationReport& report) {
  const std::map<std::string, double> metrics(report.metrics.begin(), report.metrics.end());
  std::string out = fmt::format("validation after step {} ({:.1f} s){}", report.step, report.seconds,
                                report.is_best ? ": the best so far" : "");
  if (const auto loss = metrics.find("loss"); loss != metrics.end()) out += fmt::format(", loss {:.4g}", loss->second);
  out += fmt::format("\n  {:18}{:>8}{:>8}{:>8}{:>8}", "metres", "1 s", "2 s", "3 s", "mean");
  out += distances(metrics, "L2", "policy");
  out += distances(metrics, "cv", "constant velocity");
  out += distances(metrics, "mean", "mean trajectory");
  const auto ratio = [&](const std::string& subset) {
    return metrics.at("L2_avg" + subset) / metrics.at("cv_avg" + subset);
  };
  if (metrics.count("cv_avg")) out += fmt::format("\n  policy / constant velocity {:.3f}", ratio(""));
  if (metrics.count("cv_avg_near_cv") && metrics.at("near_cv_share") > 0) {
    out += fmt::format("; where constant velocity is within 1 m at 3 s ({:.0f} % of samples): {:.3f} against {:.3f} m",
                       100 * metrics.at("near_cv_share"), metrics.at("L2_avg_near_cv"), metrics.at("cv_avg_near_cv"));
  }
  return out;
}

ProgressPrinter::ProgressPrinter() : terminal_(isatty(STDOUT_FILENO) != 0) {}

ProgressPrinter::~ProgressPrinter() {
  if (open_) std::fputc('\n', stdout);
}

void ProgressPrinter::progress(const Progress& progress) {
  const std::string text = describe(progress);
  if (terminal_) {
    fmt::print("\r{}\x1b[K", text);  // the code erases what a longer line left
    open_ = true;
  } else {
    fmt::print("{}\n", text);
  }
  std::fflush(stdout);
}

void ProgressPrinter::line(const std::string& text) {
  if (open_) std::fputc('\n', stdout);
  open_ = false;
  fmt::print("{}\n", text);
  std::fflush(stdout);
}

}  // namespace bev
