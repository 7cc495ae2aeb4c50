// A communicator that hands calls on, but spoils one collective for its replica: a reduction that somebody forgot, or
// that forgot somebody.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/distributed/communicator.h"

namespace bev::test {

/// What becomes of the collective.
enum class Fault : uint8_t {
  keeps_its_own,  // this replica goes on with what it put in; to the others its part gets as it should
  adds_nothing,   // all get what they should, but for this replica's part, which is missing
};

class ForgetfulCommunicator : public Communicator {
 public:
  /// `forgets` says which: "reduce_scatter of bucket 1"; "" is none. The first `spared` of them it leaves alone.
  ForgetfulCommunicator(Communicator& inner, std::string forgets, Fault fault = Fault::keeps_its_own,
                        int64_t spared = 0)
      : inner_(inner), forgets_(std::move(forgets)), fault_(fault), spared_(spared) {}
  ForgetfulCommunicator(std::shared_ptr<Communicator> inner, std::string forgets, Fault fault = Fault::keeps_its_own,
                        int64_t spared = 0)
      : owned_(std::move(inner)), inner_(*owned_), forgets_(std::move(forgets)), fault_(fault), spared_(spared) {}
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  std::string text() const override { return inner_.text(); }
  void wait_for(const Stream& compute) override { inner_.wait_for(compute); }
  void release_to(const Stream& compute) override { inner_.release_to(compute); }
  void all_reduce(void* data, int64_t count, DType type, const char* name) override {
    if (!forgotten("all_reduce", name)) return inner_.all_reduce(data, count, type, name);
    const size_t bytes = static_cast<size_t>(count) * size_of(type);
    if (fault_ == Fault::adds_nothing) std::memset(data, 0, bytes);
    inner_.all_reduce(fault_ == Fault::adds_nothing ? data : copy_of(data, bytes), count, type, name);
  }
  void reduce_scatter(const void* in, void* out, int64_t count, DType type, const char* name) override {
    if (!forgotten("reduce_scatter", name)) return inner_.reduce_scatter(in, out, count, type, name);
    const size_t part = static_cast<size_t>(count) * size_of(type), own = part * static_cast<size_t>(rank());
    std::byte* const copy = copy_of(in, part * static_cast<size_t>(size()));
    if (fault_ == Fault::adds_nothing) {
      std::memset(copy, 0, copy_.size());
      return inner_.reduce_scatter(copy, out, count, type, name);
    }
    inner_.reduce_scatter(copy, copy + own, count, type, name);
    if (out != static_cast<const std::byte*>(in) + own) {
      std::memcpy(out, static_cast<const std::byte*>(in) + own, part);
    }
  }
  void all_gather(const void* in, void* out, int64_t count, DType type, const char* name) override {
    if (!forgotten("all_gather", name)) return inner_.all_gather(in, out, count, type, name);
    const size_t part = static_cast<size_t>(count) * size_of(type), own = part * static_cast<size_t>(rank());
    std::byte* const copy = copy_of(out, part * static_cast<size_t>(size()));
    std::memcpy(copy + own, in, part);
    if (fault_ == Fault::adds_nothing) {
      std::memset(copy, 0, copy_.size());
      return inner_.all_gather(copy, out, count, type, name);
    }
    inner_.all_gather(copy + own, copy, count, type, name);
    std::memmove(static_cast<std::byte*>(out) + own, in, part);
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
  bool forgotten(const char* kind, const char* name) {
    return fmt::format("{} of {}", kind, name) == forgets_ && spared_-- <= 0;
  }
  std::byte* copy_of(const void* data, size_t bytes) {
    copy_.resize(bytes);
    std::memcpy(copy_.data(), data, bytes);
    return copy_.data();
  }

  const std::shared_ptr<Communicator> owned_;  // or null
  Communicator& inner_;
  const std::string forgets_;
  const Fault fault_;
  int64_t spared_;
  std::vector<std::byte> copy_;  // in use until the collective is done
};

}  // namespace bev::test
