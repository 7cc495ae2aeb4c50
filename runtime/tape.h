// The autograd tape. A forward op runs its kernels and records one entry: its name and a function that computes the
// gradients of its inputs from the gradient of its output. The backward pass runs the entries in reverse and drops each
// one, with all that it saved, as soon as it has run.
//
// Gradients are written through add(): the first contribution overwrites (nothing is ever zeroed beforehand), later
// ones accumulate. When the last contribution to a parameter's gradient has been enqueued the tape calls its
// gradient-ready hook: the only seam between autograd and communication. Uses of a parameter are counted in the forward
// pass by use(). Not thread-safe: one tape a replica.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/activity.h"
#include "runtime/parameter.h"
#include "runtime/tensor.h"

namespace bev {

/// Where the gradient of a variable collects. A part's gradient is a region of its parent's (see Tape::parts).
struct GradientSlot {
  Shape shape;
  DType dtype = DType::f32;
  Tensor gradient;
  bool written = false;
  int64_t unwritten_parts = 0;
  std::shared_ptr<GradientSlot> parent;
  int64_t offset = 0;  // of a part, in elements of the parent
};
using Gradient = std::shared_ptr<GradientSlot>;

/// A value that gradients flow to, or (slot null) a constant.
class Variable {
 public:
  Variable() = default;
  explicit Variable(Tensor value, Gradient slot = nullptr) : value_(std::move(value)), slot_(std::move(slot)) {}

  const Tensor& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  int64_t dim(int i) const { return value_.dim(i); }
  int64_t size() const { return value_.size(); }
  bool defined() const { return value_.defined(); }
  bool needs_gradient() const { return slot_ != nullptr; }
  /// For an op's backward: keeps the slot alive without keeping the value.
  const Gradient& gradient() const { return slot_; }
  /// The same value and gradient in another shape.
  Variable view(const Shape& shape) const { return Variable(value_.view(shape), slot_); }

 private:
  Tensor value_;
  Gradient slot_;
};

class Tape {
 public:
  using Backward = std::function<void()>;
  /// Computes a contribution into `gradient`: overwriting it, or adding to it if `accumulate`.
  using Write = std::function<void(const Tensor& gradient, bool accumulate)>;
  using Allocate = std::function<Tensor(const Shape&, DType)>;

  /// `allocate` provides the memory of gradients.
  explicit Tape(Allocate allocate) : allocate_(std::move(allocate)) {}

  /// While off, ops compute values only: nothing is recorded and no variable needs a gradient (sampling, validation).
  void set_recording(bool on) { recording_ = on; }
  bool recording() const { return recording_; }

  /// The variable for an op's output: needs a gradient if recording.
  Variable output(Tensor value) const;

  /// Counts one use of a parameter whose gradient the entry recorded next will write exactly once. No effect if it
  /// needs none.
  void use(Parameter& parameter);
  /// Records an entry. `op` is a literal. The entry runs only if `output`'s gradient was written.
  void record(const char* op, const Variable& output, Backward backward);

  /// The gradient that has been collected for an output; releases the slot's hold on it. Called once, in the entry's
  /// backward. Throws if a part of it was never written.
  static Tensor take(const Gradient& output);
  /// Adds a contribution to an input's gradient; does nothing if it needs none.
  void add(const Gradient& input, const Write& write);
  /// Makes `contribution` itself the gradient of `input`, where it is the first one: no copy. The tensor then belongs to
  /// the input, and later contributions add into it, so the caller has read it for the last time. Returns false, and
  /// does nothing, where it is not the first, is but a part of the gradient, or no gradient is needed.
  static bool adopt(const Gradient& input, const Tensor& contribution);
  /// Adds the one contribution announced by use(); does nothing if the parameter needs no gradient.
  void add(Parameter& parameter, const Write& write);
  static bool wants(const Parameter& parameter) { return parameter.trainable; }

  /// Cuts `x` along its first dimension into `count` equal variables whose gradients are parts of that of `x`: no
  /// copies.
  std::vector<Variable> parts(const Variable& x, int64_t count);

  /// A new forward pass begins. Whether parameter gradients start afresh (first micro-batch of a step) or are added to.
  void begin(ParameterStore& store, bool accumulate_into_parameters);
  /// Runs all entries in reverse. `seed` is called with the gradient tensor of `loss` to fill. Errors name the op and
  /// its scope.
  void backward(const Variable& loss, const Write& seed);
  /// Drops what a forward pass recorded, after an error.
  void clear();

  /// Called for every parameter once its gradient is complete, in the backward pass, if set.
  void set_gradient_ready(std::function<void(Parameter&)> hook) { gradient_ready_ = std::move(hook); }

  /// Where to say which op runs, for messages from other threads; null: nowhere.
  void set_activity(Activity* activity) { activity_ = activity; }

  /// The part of the model that ops belong to, for messages and for the memory table ("decoder.layers.0"); see Scope.
  const std::string& scope() const { return scope_; }

 private:
  friend class Scope;
  struct Entry {
    const char* op;
    std::string scope;
    Gradient output;
    Backward backward;
  };

  Allocate allocate_;
  bool recording_ = true;
  std::vector<Entry> entries_;
  std::function<void(Parameter&)> gradient_ready_;
  Activity* activity_ = nullptr;
  std::string scope_;
};

/// Names the part of the model that ops belong to while it lives.
class Scope {
 public:
  Scope(Tape& tape, const std::string& name) : tape_(tape), length_(tape.scope_.size()) {
    if (length_ > 0) tape_.scope_ += '.';
    tape_.scope_ += name;
  }
  ~Scope() { tape_.scope_.resize(length_); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Tape& tape_;
  size_t length_;
};

}  // namespace bev
