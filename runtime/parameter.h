// Parameters by the name under which checkpoints know them. Models declare them when they are built (name, shape,
// initialisation); storage is allotted afterwards: all values in one contiguous buffer and all gradients in another, in
// the order in which the backward pass finishes them, so that a bucket of gradients is one span.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/tensor.h"

namespace bev {

class Arena;

/// How a parameter gets its first value. `bound` is a standard deviation, a half-width or a constant, by kind.
struct Init {
  enum class Kind : uint8_t { constant, normal, uniform, xavier_uniform, orthogonal, table };
  Kind kind = Kind::constant;
  double value = 0;
  std::vector<double> entries = {};  // of a table, one an element

  static Init constant(double value) { return {Kind::constant, value}; }
  static Init normal(double deviation) { return {Kind::normal, deviation}; }
  static Init uniform(double bound) { return {Kind::uniform, bound}; }
  static Init xavier_uniform() { return {Kind::xavier_uniform, 0}; }
  static Init orthogonal() { return {Kind::orthogonal, 0}; }
  static Init table(std::vector<double> entries) { return {Kind::table, 0, std::move(entries)}; }
};

/// Filters are computed with as [out, height, width, in], but named and stored in files as [out, in, height, width].
enum class FileLayout : uint8_t { same, filter };

struct Parameter {
  std::string name;
  Shape shape;  // as computed with
  Init init;
  FileLayout file_layout = FileLayout::same;
  bool is_buffer = false;  // running statistics: no gradient, not touched by the optimiser
  bool in_files = true;    // false: a table of constants, which checkpoints do not hold
  bool trainable = true;   // false: frozen, or no path leads from it to the loss
  Tensor value, gradient;  // gradient undefined where there is none
  int64_t offset = -1;     // of its first element in the store's buffers
  std::vector<std::unique_ptr<Parameter>>
      slices;                  // rows that ops use as parameters of their own, see ParameterStore::slice
  Parameter* whole = nullptr;  // of a slice: what it is a slice of
  // Bookkeeping of the tape, see tape.h. The pending uses of a parameter with slices are its unfinished slices.
  int pending_uses = 0;
  bool gradient_written = false;

  int64_t size() const { return shape.elements(); }
  Shape file_shape() const;
};

class ParameterStore {
 public:
  ParameterStore() = default;
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  /// Declares a parameter; the reference stays valid for the store's life. Throws on a name that exists.
  Parameter& declare(const std::string& name, const Shape& shape, const Init& init,
                     FileLayout layout = FileLayout::same);
  /// Declares a buffer: part of checkpoints and of replica agreement, without a gradient.
  Parameter& declare_buffer(const std::string& name, const Shape& shape, double value);

  /// Declares constants that ops read, such as a noise schedule: a buffer that is not part of files.
  Parameter& declare_table(const std::string& name, std::vector<double> entries);

  /// Rows `first` .. `first + count - 1` of a parameter as a parameter of its own, for packed weights such as
  /// attention's in_proj_weight: the tape treats slices apart, files and the optimiser know only the whole. Rows that
  /// no op uses keep a gradient of zero.
  static Parameter& slice(Parameter& whole, int64_t first, int64_t count);

  Parameter* find(std::string_view name);
  /// All, in the order of declaration.
  const std::vector<std::unique_ptr<Parameter>>& all() const { return all_; }
  /// Those with a gradient, in the order of storage.
  const std::vector<Parameter*>& trained() const { return trained_; }

  /// Gives storage to everything, gradients zeroed (`zero` writes that many zero bytes to device memory). `order` lists
  /// the parameters that get a gradient in the order in which backward finishes them (from a dry run); all others
  /// become not trainable and are stored behind them. Buffers of the arena are aligned per parameter to 256 bytes. May
  /// be called again, with another arena or order: everything moves.
  void allocate(Arena& arena, DType dtype, const std::vector<Parameter*>& order,
                const std::function<void(void* memory, size_t bytes)>& zero);

  /// Points the values of `trained()` into another span of the same layout, such as averaged weights, and back into
  /// trained_values(). Copies nothing; trained_values() stays what it is.
  void read_values_from(const Tensor& span);

  /// All values of `trained()`, and their gradients, each one span (gaps between parameters hold zeros).
  Tensor trained_values() const { return trained_values_; }
  Tensor trained_gradients() const { return trained_gradients_; }
  /// Values of parameters without a gradient and of buffers, one span.
  Tensor other_values() const { return other_values_; }

 private:
  std::vector<std::unique_ptr<Parameter>> all_;
  std::unordered_map<std::string, Parameter*> by_name_;
  std::vector<Parameter*> trained_;
  Tensor trained_values_, trained_gradients_, other_values_;
};

}  // namespace bev
