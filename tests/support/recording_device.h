// A GPU's way of working, on the CPU: a device that says it is one, whose batches are copied, and whose streams can be
// recorded as graphs of the very kernels, products and copies that were launched. So what training does with graphs can
// be seen to the last bit where there is no GPU. What it cannot show is whether CUDA takes a launch into a graph.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/device.h"
#include "runtime/observed_engines.h"

namespace bev::test {

class RecordingDevice final : public Device, private LaunchObserver {
 public:
  DeviceKind kind() const override { return DeviceKind::cuda; }
  int ordinal() const override { return 0; }
  std::string text() const override { return "recording"; }
  void make_current() override {}
  MemoryInfo memory() override { return cpu_->memory(); }
  Stream make_stream() override { return {.kind = DeviceKind::cpu, .observer = this}; }
  std::unique_ptr<Event> make_event() override { return cpu_->make_event(); }
  std::unique_ptr<Timer> make_timer() override { return cpu_->make_timer(); }

  bool has_graphs() const override { return true; }
  void begin_graph(const Stream&) override {
    recording_ = true;
    if (refuses) fail(ErrorKind::runtime, "refused");
  }
  std::unique_ptr<Graph> end_graph(const Stream&) override {
    recording_ = false;
    return std::make_unique<Recording>(std::exchange(recorded_, {}), *this);
  }
  void abandon_graph(const Stream&) noexcept override {
    recording_ = false;
    recorded_.clear();
  }

  std::shared_ptr<void> allocate(size_t bytes) override { return cpu_->allocate(bytes); }
  std::shared_ptr<void> allocate_staging(size_t bytes) override { return cpu_->allocate_staging(bytes); }
  void copy(const Stream& stream, void* to, const void* from, size_t bytes) override {
    if (stream.kind == DeviceKind::dry) return;
    put([=, this] { cpu_->copy({}, to, from, bytes); });
  }
  void zero(const Stream& stream, void* memory, size_t bytes) override {
    if (stream.kind == DeviceKind::dry) return;
    put([=, this] { cpu_->zero({}, memory, bytes); });
  }
  void synchronize(const Stream&) override {
    if (recording_) fail(ErrorKind::runtime, "the host waits while a graph is recorded");
  }
  std::unique_ptr<MatmulEngine> make_matmul(const Stream&) override {
    return observed(std::shared_ptr<MatmulEngine>(make_plain_matmul()));
  }
  std::unique_ptr<ConvolutionEngine> make_convolution(const Stream&) override {
    return observed(std::shared_ptr<ConvolutionEngine>(make_plain_convolution()));
  }

  bool refuses = false;               // to record
  std::atomic<int64_t> launched = 0;  // one by one
  std::atomic<int64_t> graphs_run = 0;
  std::set<std::string> asked_of_libraries;  // products and convolutions, by shape

 private:
  class Recording final : public Graph {
   public:
    Recording(std::vector<std::function<void()>> work, RecordingDevice& device)
        : work_(std::move(work)), device_(device) {}
    void launch(const Stream&) override {
      ++device_.graphs_run;
      for (const auto& one : work_) one();
    }
    int64_t launches() const override { return std::ssize(work_); }

   private:
    std::vector<std::function<void()>> work_;
    RecordingDevice& device_;
  };

  void launch(const Stream& stream, const Launch& launch, const std::function<void(const Stream&)>& work) override {
    if (launch.kind != Launch::Kind::kernel) asked_of_libraries.insert(launch.name);
    put([=] { work(stream); });
  }
  void put(std::function<void()> work) {
    if (recording_) return recorded_.push_back(std::move(work));
    ++launched;
    work();
  }

  std::unique_ptr<Device> cpu_ = make_cpu_device();
  std::atomic<bool> recording_ = false;
  std::vector<std::function<void()>> recorded_;
};

}  // namespace bev::test
