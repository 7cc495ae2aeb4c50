#include "runtime/train/weights_file.h"

#include <bit>
#include <cstring>
#include <unordered_map>

#include "runtime/file_layout.h"
#include "runtime/transfer.h"

namespace bev {

namespace {

/// Differences between a file and what is expected of it, of which a message names a few.
class Differences {
 public:
  void add(const std::string& text) {
    constexpr int named = 4;
    if (++count_ <= named) text_ += (count_ > 1 ? "; " : "") + text;
  }
  void refuse_if_any(const std::string& path) const {
    if (count_ > 0) fail(ErrorKind::data, "{}: does not fit the model: {} difference(s): {}", path, count_, text_);
  }

 private:
  int count_ = 0;
  std::string text_;
};

std::vector<ParameterView> views(const ParameterStore& store, const Tensor& trained, const std::string& prefix,
                                 bool others) {
  std::vector<ParameterView> out;
  for (const auto& parameter : store.all()) {
    if (!parameter->in_files) continue;
    const bool is_trained = parameter->trainable && !parameter->is_buffer;
    if (!is_trained && !others) continue;
    out.push_back({prefix + parameter->name, parameter.get(),
                   is_trained ? trained.part(parameter->offset, parameter->shape) : parameter->value});
  }
  return out;
}

Tensor host_tensor(const Shape& shape, DType dtype) {
  const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
  return {std::make_shared_for_overwrite<std::byte[]>(std::max<size_t>(bytes, 1)), shape, dtype};
}

/// The view's elements in host memory and in the file's layout.
Tensor filed_value(Device& device, const Stream& stream, const ParameterView& view, bool own) {
  const Tensor computed = to_host(device, stream, view.value);
  if (view.parameter->file_layout == FileLayout::same) {
    if (!own || computed.raw() != view.value.raw()) return computed;
    const Tensor copy = host_tensor(computed.shape(), computed.dtype());
    std::memcpy(copy.raw(), computed.raw(), computed.bytes());
    return copy;
  }
  const Tensor out = host_tensor(view.parameter->file_shape(), computed.dtype());
  visit_float(computed.dtype(), [&]<class T>(T) {
    const auto size = static_cast<size_t>(computed.size());
    to_file_layout<T>(*view.parameter, {computed.data<T>(), size}, {out.data<T>(), size});
  });
  return out;
}

template <class To>
void convert(const Tensor& from, To* to) {
  const int64_t size = from.size();
  if (from.dtype() == DType::f64) std::copy_n(from.data<double>(), size, to);
  if (from.dtype() == DType::f32) std::copy_n(from.data<float>(), size, to);
  if (from.dtype() == DType::bf16) {
    const uint16_t* bits = from.data<uint16_t>();
    for (int64_t i = 0; i < size; ++i) to[i] = std::bit_cast<float>(static_cast<uint32_t>(bits[i]) << 16);
  }
}

void fill(Device& device, const Stream& stream, const ParameterView& view, const Tensor& filed) {
  visit_float(view.value.dtype(), [&]<class T>(T) {
    const auto size = static_cast<size_t>(filed.size());
    std::vector<T> values(size);
    convert(filed, values.data());
    if (view.parameter->file_layout == FileLayout::filter) {
      std::vector<T> computed(size);
      from_file_layout<T>(*view.parameter, values, computed);
      values = std::move(computed);
    }
    write_to_device(device, stream, view.value.raw(), values.data(), size * sizeof(T));
  });
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

bool suits(DType filed, DType wanted, Numbers numbers) {
  if (numbers == Numbers::same) return filed == wanted;
  return filed == DType::f64 || filed == DType::f32 || filed == DType::bf16;
}

}  // namespace

std::vector<ParameterView> views_of_all(const ParameterStore& store, const Tensor& trained) {
  return views(store, trained, "", true);
}

std::vector<ParameterView> views_of_trained(const ParameterStore& store, const Tensor& trained,
                                            const std::string& prefix) {
  return views(store, trained, prefix, false);
}

std::vector<NamedTensor> filed(Device& device, const Stream& stream, std::span<const ParameterView> views,
                               const FileNames& names, bool own) {
  std::vector<NamedTensor> out;
  for (const ParameterView& view : views) {
    const Tensor value = filed_value(device, stream, view, own);
    out.push_back({view.name, value});
    if (!names.aliases) continue;
    for (const std::string& alias : names.aliases(view.name)) out.push_back({alias, value});
  }
  return out;
}

void read_views(const SafetensorsFile& file, Device& device, const Stream& stream, std::span<const ParameterView> views,
                const FileNames& names, Numbers numbers) {
  std::unordered_map<std::string, const ParameterView*> wanted;
  for (const ParameterView& view : views) wanted.emplace(view.name, &view);
  std::unordered_map<const ParameterView*, const SafetensorsFile::Entry*> found;
  Differences differences;
  for (const SafetensorsFile::Entry& entry : file.entries()) {
    auto view = wanted.find(entry.name);
    if (view == wanted.end() && names.parameter_of) {
      const std::string name = names.parameter_of(entry.name);
      if (name.empty()) continue;
      view = wanted.find(name);
    }
    if (view == wanted.end()) {
      differences.add(entry.name + " is not in the model");
      continue;
    }
    const Shape expected = view->second->parameter->file_shape();
    if (entry.shape != expected) {
      differences.add(
          fmt::format("{} has shape {}, the model's is {}", entry.name, entry.shape.text(), expected.text()));
    } else if (!suits(entry.dtype, view->second->value.dtype(), numbers)) {
      differences.add(fmt::format("{} is {}, this run computes in {}", entry.name, name_of(entry.dtype),
                                  name_of(view->second->value.dtype())));
    }
    const auto [first, is_new] = found.emplace(view->second, &entry);
    if (!is_new && !same_bytes(file.tensor(*first->second), file.tensor(entry))) {
      differences.add(
          fmt::format("{} and {} are one parameter of the model, but differ", first->second->name, entry.name));
    }
  }
  for (const ParameterView& view : views) {
    if (!found.contains(&view)) differences.add(view.name + " is missing");
  }
  differences.refuse_if_any(file.path());
  for (const auto& [view, entry] : found) fill(device, stream, *view, file.tensor(*entry));
}

}  // namespace bev
