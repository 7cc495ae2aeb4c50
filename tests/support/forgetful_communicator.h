// A communicator that hands calls on, but keeps the sums of one all_reduce from its replica: a reduction that somebody
// forgot.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/distributed/communicator.h"

namespace bev::test {

/// `forgets` names the collective; the others' sums contain this replica's part as they should.
class ForgetfulCommunicator final : public Communicator {
 public:
  ForgetfulCommunicator(Communicator& inner, std::string forgets) : inner_(inner), forgets_(std::move(forgets)) {}
  ForgetfulCommunicator(std::shared_ptr<Communicator> inner, std::string forgets)
      : owned_(std::move(inner)), inner_(*owned_), forgets_(std::move(forgets)) {}
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  std::string text() const override { return inner_.text(); }
  void wait_for(const Stream& compute) override { inner_.wait_for(compute); }
  void release_to(const Stream& compute) override { inner_.release_to(compute); }
  void all_reduce(void* data, int64_t count, DType type, const char* name) override {
    if (name != forgets_) return inner_.all_reduce(data, count, type, name);
    lost_.resize(static_cast<size_t>(count) * size_of(type));
    std::memcpy(lost_.data(), data, lost_.size());
    inner_.all_reduce(lost_.data(), count, type, name);
  }
  void reduce_scatter(const void* in, void* out, int64_t count, DType type, const char* name) override {
    inner_.reduce_scatter(in, out, count, type, name);
  }
  void all_gather(const void* in, void* out, int64_t count, DType type, const char* name) override {
    inner_.all_gather(in, out, count, type, name);
  }
  void broadcast(void* data, int64_t count, DType type, int root, const char* name) override {
    inner_.broadcast(data, count, type, root, name);
  }
  void barrier(const char* name) override { inner_.barrier(name); }
  void abort(const Error& reason) override { inner_.abort(reason); }
  std::string last_collective() const override { return inner_.last_collective(); }
  int64_t calls() const override { return inner_.calls(); }
  double waiting_seconds() const override { return inner_.waiting_seconds(); }
  void check_health() const override { inner_.check_health(); }
  void set_tracing(bool on) override { inner_.set_tracing(on); }
  std::vector<CollectiveTrace> take_trace() override { return inner_.take_trace(); }

 private:
  const std::shared_ptr<Communicator> owned_;  // or null
  Communicator& inner_;
  const std::string forgets_;
  std::vector<std::byte> lost_;
};

}  // namespace bev::test
