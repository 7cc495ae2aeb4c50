// Sets of tensors that belong to a model's parameters, such as its weights, their averages or an optimiser's moments,
// as safetensors files under the parameters' names and in the files' layout. Reading is strict: a file of another model
// is refused with the first differences named, before anything is changed.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/device.h"
#include "runtime/file/safetensors.h"
#include "runtime/parameter.h"

namespace bev {

/// A tensor in device memory that belongs to a parameter: its value, average or moment.
struct ParameterView {
  std::string name;  // in files
  const Parameter* parameter = nullptr;
  Tensor value;  // as computed with
};

/// Everything that files hold of a store: trained parameters as they are in `trained` (a span laid out as
/// trained_values()), all else as it is.
std::vector<ParameterView> views_of_all(const ParameterStore& store, const Tensor& trained);
/// Trained parameters alone, under `prefix` + name.
std::vector<ParameterView> views_of_trained(const ParameterStore& store, const Tensor& trained,
                                            const std::string& prefix);

/// What a model says about names in files that are not its parameters' own. Both may be empty.
struct FileNames {
  /// Further names under which files repeat a parameter, as those of layers that share their weights.
  std::function<std::vector<std::string>(const std::string& parameter)> aliases;
  /// The parameter that a file's name speaks of; nothing ("") for tensors to be left alone. For names that are no
  /// parameter's.
  std::function<std::string(const std::string& name)> parameter_of;
};

/// The views, with their aliases, in host memory and the files' layout, ready for write_safetensors(). On the CPU they
/// may share the views' memory; `own` asks for memory of their own.
std::vector<NamedTensor> filed(Device& device, const Stream& stream, std::span<const ParameterView> views,
                               const FileNames& names, bool own = false);

enum class Numbers : uint8_t {
  same,     // the file's type must be the tensor's: to go on with training
  convert,  // F64, F32 and BF16 become what is computed with: for weights from elsewhere
};

/// Fills all views from a file. Throws Error(ErrorKind::data) naming the file and the first differences in names,
/// shapes or types, or two different tensors for one parameter; then nothing has been changed.
void read_views(const SafetensorsFile& file, Device& device, const Stream& stream, std::span<const ParameterView> views,
                const FileNames& names, Numbers numbers);

}  // namespace bev
