// Communicators of replicas that are threads of this process. The thread group does the work; a communicator is a
// replica's door to it, and on the CPU owns the replica's worker.
#include <thread>

#include "runtime/distributed/thread_group.h"

namespace bev {

namespace {

using Kind = CollectiveCall::Kind;

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<ThreadGroup> group, int rank) : group_(std::move(group)), rank_(rank) {
    if (group_->size() > 1 && !group_->on_gpu(rank)) {
      worker_ = std::thread([group = group_.get(), rank] { group->work(rank); });
    }
  }
  ~ThreadCommunicator() override {
    group_->leave(rank_);
    if (worker_.joinable()) worker_.join();
  }

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  std::string text() const override { return "threads"; }

  void wait_for(const Stream& compute) override { group_->wait_for(rank_, compute); }
  void release_to(const Stream& compute) override { group_->release_to(rank_, compute); }

  void all_reduce(void* data, int64_t count, DType type, const char* name) override {
    call(Kind::all_reduce, nullptr, data, count, type, 0, name);
  }
  void reduce_scatter(const void* in, void* out, int64_t count, DType type, const char* name) override {
    call(Kind::reduce_scatter, in, out, count, type, 0, name);
  }
  void all_gather(const void* in, void* out, int64_t count, DType type, const char* name) override {
    call(Kind::all_gather, in, out, count, type, 0, name);
  }
  void broadcast(void* data, int64_t count, DType type, int root, const char* name) override {
    call(Kind::broadcast, nullptr, data, count, type, root, name);
  }
  void barrier(const char* name) override {
    call(Kind::barrier, nullptr, nullptr, 0, DType::u8, 0, name);
    group_->wait(rank_);
  }

  void abort(const Error& reason) override { group_->abort(reason); }
  std::string last_collective() const override { return group_->last_collective(rank_); }
  int64_t calls() const override { return group_->calls(rank_); }
  double waiting_seconds() const override { return group_->waiting_seconds(rank_); }
  void set_tracing(bool on) override { group_->set_tracing(rank_, on); }
  std::vector<CollectiveTrace> take_trace() override { return group_->take_trace(rank_); }

 private:
  void call(Kind kind, const void* in, void* out, int64_t count, DType type, int root, const char* name) {
    const bool sums = kind == Kind::all_reduce || kind == Kind::reduce_scatter;
    if (sums && type != DType::f32 && type != DType::f64 && type != DType::i64) {
      fail(ErrorKind::runtime, "replicas cannot sum {} in {}: expected F32, F64 or I64", name_of(type), name);
    }
    if (count < 0 || root < 0 || root >= size()) {
      fail(ErrorKind::runtime, "{}: {} elements from replica {} of {}", name, count, root, size());
    }
    group_->call(rank_, {.kind = kind, .in = in, .out = out, .count = count, .type = type, .root = root, .name = name});
  }

  std::shared_ptr<ThreadGroup> group_;
  const int rank_;
  std::thread worker_;
};

class ThreadRendezvous final : public Rendezvous {
 public:
  ThreadRendezvous(int count, std::string label, FakeLink link)
      : group_(std::make_shared<ThreadGroup>(count, std::move(label), std::move(link))) {}

  const std::string& label() const override { return group_->label(); }
  std::unique_ptr<Communicator> join(int rank, Device& device, double) override {
    if (device.kind() == DeviceKind::cuda) group_->enter_on_gpu(rank, device);
    return join(rank);
  }
  std::unique_ptr<Communicator> join(int rank) { return std::make_unique<ThreadCommunicator>(group_, rank); }
  void abort(const Error& reason) override { group_->abort(reason); }

 private:
  std::shared_ptr<ThreadGroup> group_;
};

}  // namespace

std::shared_ptr<Rendezvous> meet_by_threads(int count, std::string label, FakeLink link) {
  return std::make_shared<ThreadRendezvous>(count, std::move(label), std::move(link));
}

std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int count, FakeLink link, std::string label) {
  ThreadRendezvous rendezvous(count, std::move(label), std::move(link));
  std::vector<std::unique_ptr<Communicator>> out;
  for (int rank = 0; rank < count; ++rank) out.push_back(rendezvous.join(rank));
  return out;
}

}  // namespace bev
