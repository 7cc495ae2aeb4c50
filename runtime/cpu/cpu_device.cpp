// The CPU as a Device: host memory, and everything done at once on the calling thread. So events have always been
// reached and streams are never behind; on a dry stream nothing is copied, as nothing is computed there.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "runtime/arena.h"
#include "runtime/cpu/admit.h"
#include "runtime/device.h"
#include "runtime/error.h"

namespace bev {

namespace {

class PastEvent : public Event {
 public:
  void record(const Stream&) override {}
  void block(const Stream&) override {}
  void synchronize() override {}
  bool reached() override { return true; }
};

class ClockTimer : public Timer {
 public:
  void start(const Stream&) override { start_ = stop_ = Clock::now(); }
  void stop(const Stream&) override { stop_ = Clock::now(); }
  double seconds() override { return std::chrono::duration<double>(stop_ - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_, stop_;
};

/// What the kernel believes could be had without swapping, from /proc/meminfo; `otherwise` where it does not say.
size_t available_memory(size_t otherwise) {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  size_t kibibytes = 0;
  while (file >> key >> kibibytes && std::getline(file, unit)) {
    if (key == "MemAvailable:") return kibibytes << 10;
  }
  return otherwise;
}

/// work(offset, size) for pieces of `bytes`, by all threads where there is much: memory that was never touched is
/// cleared by the system page by page, which takes one thread seconds for the state of a full-size policy.
template <class Work>
void in_pieces(size_t bytes, const Work& work) {
  constexpr size_t piece = size_t{2} << 20;
  const auto pieces = static_cast<int64_t>((bytes + piece - 1) / piece);
#pragma omp parallel for schedule(static) if (pieces > 1)
  for (int64_t i = 0; i < pieces; ++i) {
    const size_t offset = static_cast<size_t>(i) * piece;
    work(offset, std::min(piece, bytes - offset));
  }
}

class CpuDevice : public Device {
 public:
  explicit CpuDevice(Precision precision) : precision_(precision) {}

  DeviceKind kind() const override { return DeviceKind::cpu; }
  int ordinal() const override { return 0; }
  std::string text() const override { return "cpu"; }
  void make_current() override {}

  MemoryInfo memory() override {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t total = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * page;
    return {total, available_memory(static_cast<size_t>(sysconf(_SC_AVPHYS_PAGES)) * page)};
  }

  Stream make_stream() override { return {.kind = DeviceKind::cpu}; }
  std::unique_ptr<Event> make_event() override { return std::make_unique<PastEvent>(); }
  std::unique_ptr<Timer> make_timer() override { return std::make_unique<ClockTimer>(); }

  /// The system would promise more memory than there is and end the process when it is touched: refused here instead.
  std::shared_ptr<void> allocate(size_t bytes) override {
    const MemoryInfo info = this->memory();
    const size_t block = std::max<size_t>((bytes + Arena::alignment - 1) / Arena::alignment, 1) * Arena::alignment;
    void* memory = bytes > info.total ? nullptr : std::aligned_alloc(Arena::alignment, block);
    if (!memory) {
      constexpr double mebibyte = 1 << 20;
      fail(ErrorKind::runtime, "cpu: {:.1f} MiB of memory were asked for, and {:.1f} MiB are free",
           static_cast<double>(bytes) / mebibyte, static_cast<double>(info.free) / mebibyte);
    }
    return {memory, std::free};
  }
  std::shared_ptr<void> allocate_staging(size_t bytes) override { return allocate(bytes); }

  void copy(const Stream& stream, void* to, const void* from, size_t bytes) override {
    cpu::require_host(stream, "a copy");
    if (stream.kind != DeviceKind::cpu) return;
    in_pieces(bytes, [to, from](size_t offset, size_t size) {
      std::memcpy(static_cast<std::byte*>(to) + offset, static_cast<const std::byte*>(from) + offset, size);
    });
  }
  void zero(const Stream& stream, void* memory, size_t bytes) override {
    cpu::require_host(stream, "zeroing");
    if (stream.kind != DeviceKind::cpu) return;
    in_pieces(bytes,
              [memory](size_t offset, size_t size) { std::memset(static_cast<std::byte*>(memory) + offset, 0, size); });
  }
  void synchronize(const Stream& stream) override { cpu::require_host(stream, "waiting"); }

  std::unique_ptr<MatmulEngine> make_matmul(const Stream&) override {
    return precision_ == Precision::bf16   ? make_cpu_bf16_matmul()
           : precision_ == Precision::tf32 ? make_cpu_tf32_matmul()
                                           : make_cpu_matmul();
  }
  std::unique_ptr<ConvolutionEngine> make_convolution(const Stream&) override { return make_cpu_convolution(); }

 private:
  Precision precision_;
};

}  // namespace

std::unique_ptr<Device> make_cpu_device(Precision precision) { return std::make_unique<CpuDevice>(precision); }

}  // namespace bev
