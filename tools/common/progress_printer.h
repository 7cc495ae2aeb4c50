// What a person sees of training: one line that is rewritten on a terminal, plain lines elsewhere.
#pragma once

#include <string>

#include "runtime/train/trainer.h"

namespace bev {

/// "epoch 2/4  step 512/2044  loss 0.0321  lr 9.1e-04  norm 0.42  310 samples/s  data 3 %  4:12 left"
std::string describe(const Progress& progress);
/// The policy's distances beside those of the two predictors that do not look, in lines.
std::string describe(const ValidationReport& report);
/// "1:02:03" or "4:12".
std::string duration_text(double seconds);

class ProgressPrinter {
 public:
  /// Asks the system whether stdout is a terminal.
  ProgressPrinter();
  /// Ends an open line.
  ~ProgressPrinter();
  ProgressPrinter(const ProgressPrinter&) = delete;
  ProgressPrinter& operator=(const ProgressPrinter&) = delete;

  void progress(const Progress& progress);
  /// A line, or several, that stay.
  void line(const std::string& text);

 private:
  const bool terminal_;
  bool open_ = false;
};

}  // namespace bev
