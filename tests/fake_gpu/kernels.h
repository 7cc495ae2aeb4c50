// Kernels that were compiled as C++, by the name that nvcc gives them.
#pragma once

#include <memory>
#include <tuple>

namespace bev::fake_gpu {

struct Kernel {
  const void* body;                             // whose symbol is the kernel's mangled name
  std::shared_ptr<const void> (*keep)(void**);  // the arguments of a launch
  void (*run)(const void*);                     // one lane, with arguments as kept
};

/// Whether it was new. Called before main.
bool make_known(const Kernel& kernel);

template <class... Parameters>
struct Arguments {
  using Kept = std::tuple<Parameters...>;
  template <size_t... i>
  static std::shared_ptr<const void> keep(void** from, std::index_sequence<i...>) {
    return std::make_shared<Kept>(*static_cast<Parameters*>(from[i])...);
  }
};

template <auto kernel>
struct KnownKernel {
  static const bool known;

  template <class... Parameters>
  static Kernel describe(void (*body)(Parameters...)) {
    return {.body = reinterpret_cast<const void*>(body),
            .keep =
                [](void** from) {
                  return Arguments<Parameters...>::keep(from, std::index_sequence_for<Parameters...>());
                },
            .run =
                [](const void* kept) {
                  std::apply(kernel, *static_cast<const typename Arguments<Parameters...>::Kept*>(kept));
                }};
  }
};

template <auto kernel>
const bool KnownKernel<kernel>::known = make_known(describe(kernel));

}  // namespace bev::fake_gpu
