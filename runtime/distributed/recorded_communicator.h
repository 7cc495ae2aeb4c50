// A communicator whose collectives keep their place in what a Recorder records: see runtime/recorder.h.
#pragma once

#include <memory>
#include <utility>

#include "runtime/distributed/communicator.h"
#include "runtime/recorder.h"

namespace bev {

class RecordedCommunicator final : public Communicator {
 public:
  /// `recorder` outlives the communicator. Names of collectives live as long as what is recorded.
  RecordedCommunicator(std::shared_ptr<Communicator> inner, Recorder& recorder)
      : inner_(std::move(inner)), recorder_(recorder) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  std::string text() const override { return inner_->text(); }

  void wait_for(const Stream& compute) override {
    if (alone()) return;
    recorder_.in_place([this, compute] { inner_->wait_for(compute); });
  }
  void release_to(const Stream& compute) override {
    if (alone()) return;
    recorder_.in_place([this, compute] { inner_->release_to(compute); });
  }
  void all_reduce(void* data, int64_t count, DType type, const char* name) override {
    if (alone()) return;
    recorder_.in_place([=, this] { inner_->all_reduce(data, count, type, name); });
  }
  void reduce_scatter(const void* in, void* out, int64_t count, DType type, const char* name) override {
    if (alone()) return copy(in, out, count, type);
    recorder_.in_place([=, this] { inner_->reduce_scatter(in, out, count, type, name); });
  }
  void all_gather(const void* in, void* out, int64_t count, DType type, const char* name) override {
    if (alone()) return copy(in, out, count, type);
    recorder_.in_place([=, this] { inner_->all_gather(in, out, count, type, name); });
  }
  void broadcast(void* data, int64_t count, DType type, int root, const char* name) override {
    if (alone()) return;
    recorder_.in_place([=, this] { inner_->broadcast(data, count, type, root, name); });
  }
  void barrier(const char* name) override {
    recorder_.in_place([=, this] { inner_->barrier(name); });
  }

  void abort(const Error& reason) override { inner_->abort(reason); }
  std::string last_collective() const override { return inner_->last_collective(); }
  int64_t calls() const override { return inner_->calls(); }
  double waiting_seconds() const override { return inner_->waiting_seconds(); }
  void check_health() const override { inner_->check_health(); }
  void set_tracing(bool on) override { inner_->set_tracing(on); }
  std::vector<CollectiveTrace> take_trace() override { return inner_->take_trace(); }

 private:
  /// Whether a graph is to hold this collective itself: it has no other replica to meet.
  bool alone() const { return recorder_.recording() && size() == 1; }
  void copy(const void* in, void* out, int64_t count, DType type) const {
    if (in == out) return;
    recorder_.device().copy(recorder_.stream(), out, in, static_cast<size_t>(count) * size_of(type));
  }

  const std::shared_ptr<Communicator> inner_;
  Recorder& recorder_;
};

}  // namespace bev
