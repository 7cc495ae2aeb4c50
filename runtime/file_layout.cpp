#include "runtime/file_layout.h"

#include <cstdint>

namespace bev {

namespace {

/// Calls copy(index as computed, index in the file) for every element.
template <class Copy>
void for_each_place(const Parameter& parameter, Copy copy) {
  if (parameter.file_layout == FileLayout::same) {
    for (size_t i = 0; i < static_cast<size_t>(parameter.size()); ++i) copy(i, i);
    return;
  }
  const auto filters = static_cast<size_t>(parameter.shape[0]);
  const auto taps = static_cast<size_t>(parameter.shape[1] * parameter.shape[2]);
  const auto channels = static_cast<size_t>(parameter.shape[3]);
  size_t computed = 0;
  for (size_t filter = 0; filter < filters; ++filter) {
    for (size_t tap = 0; tap < taps; ++tap) {
      for (size_t channel = 0; channel < channels; ++channel) {
        copy(computed++, (filter * channels + channel) * taps + tap);
      }
    }
  }
}

}  // namespace

template <class T>
void to_file_layout(const Parameter& parameter, std::span<const T> computed, std::span<T> filed) {
  for_each_place(parameter, [&](size_t as_computed, size_t in_file) { filed[in_file] = computed[as_computed]; });
}

template <class T>
void from_file_layout(const Parameter& parameter, std::span<const T> filed, std::span<T> computed) {
  for_each_place(parameter, [&](size_t as_computed, size_t in_file) { computed[as_computed] = filed[in_file]; });
}

template void to_file_layout(const Parameter&, std::span<const float>, std::span<float>);
template void to_file_layout(const Parameter&, std::span<const double>, std::span<double>);
template void from_file_layout(const Parameter&, std::span<const float>, std::span<float>);
template void from_file_layout(const Parameter&, std::span<const double>, std::span<double>);

}  // namespace bev
