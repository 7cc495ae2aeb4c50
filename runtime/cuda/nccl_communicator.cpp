// The communicator over NCCL: a replica, a thread and a GPU each, all in this process. Short on purpose: machines with
// several GPUs are rare, so this file is to be read line by line beside nccl.h. What it holds to:
//   - communicators are made by ncclCommInitRankConfig, each on its replica's thread, with blocking = 0: calls return
//   at
//     once, and ncclCommGetAsyncError is asked until they are done, so that nothing waits without a deadline;
//   - no two threads are inside NCCL on one communicator: mutex_ is held around every call, never while waiting. What
//     may wait, ncclCommAbort, comes after the handle was taken away from everybody else;
//   - one communicator a GPU (NcclRendezvous is made once), one stream for all its collectives: GPUs run them in the
//     order in which replicas call them, and so none waits for one that stands behind another;
//   - ncclSum alone (averages would rule out NVLS), on an own non-blocking stream, ordered by events;
//   - an abort ends all ranks, since kernels of the others wait for this one; the handles are never used after it;
//   - graphs that captured collectives must be destroyed before the communicator.
// NCCL reads its own environment variables (NCCL_DEBUG, NCCL_P2P_DISABLE, ...); only NCCL_DEBUG gets a default, WARN.
#include <cuda_runtime.h>
#include <nccl.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "runtime/cuda/collective_events.h"
#include "runtime/device.h"

namespace bev {

namespace {

using namespace nccl;

constexpr double ending_s = 10;  // that kernels get to leave a GPU after an abort

class NcclCommunicator;

/// What the replicas share. The unique id is made by the thread that makes this.
class NcclRendezvous final : public Rendezvous, public std::enable_shared_from_this<NcclRendezvous> {
 public:
  NcclRendezvous(int count, std::string label) : size(count), label_(std::move(label)) {
    setenv("NCCL_DEBUG", "WARN", 0);
    if (const ncclResult_t result = ncclGetUniqueId(&id); result != ncclSuccess) {
      fail(ErrorKind::runtime, "NCCL makes no communicator for {}: {}", label_, ncclGetErrorString(result));
    }
  }
  const std::string& label() const override { return label_; }
  std::unique_ptr<Communicator> join(int rank, Device& device, double seconds) override;
  void abort(const Error& reason) override;
  std::optional<Error> aborted() const {
    const std::lock_guard lock(mutex_);
    return aborted_;
  }
  /// For a thread that may be no replica's: whatever it asks CUDA makes a context on its own device, which is GPU 0
  /// unless it says otherwise, and may be none of this run's.
  void lend_device(int ordinal) const {
    const std::lock_guard lock(mutex_);
    int own = 0;
    if (cudaGetDevice(&own) == cudaSuccess && !rank_on_.contains(own)) cudaSetDevice(ordinal);
  }
  /// From here to its leave() an abort ends this member's collectives, on whatever thread. leave() waits for an abort
  /// that is under way.
  void enter(NcclCommunicator& member);
  void leave(NcclCommunicator& member) {
    const std::lock_guard lock(members_mutex_);
    std::erase(members_, &member);
  }

  const int size;
  ncclUniqueId id = {};

 private:
  const std::string label_;
  mutable std::mutex mutex_;  // of the next two; held for a moment at a time
  std::optional<Error> aborted_;
  std::map<int, int> rank_on_;  // by GPU: NCCL refuses two ranks on one
  std::mutex members_mutex_;    // held while members are ended, so that they stay
  std::vector<NcclCommunicator*> members_;
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::shared_ptr<NcclRendezvous> meeting, int rank, int ordinal, double seconds)
      : meeting_(std::move(meeting)), rank_(rank), ordinal_(ordinal), seconds_(seconds), compute_(false), done_(false) {
    int lowest = 0, highest = 0;  // reductions go before what else the GPU could do
    require(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "asking for stream priorities");
    require(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, highest), "making a stream");
    require(cudaMalloc(reinterpret_cast<void**>(&token_), sizeof *token_), "allocating a barrier's token");
    require(cudaMemsetAsync(token_, 0, sizeof *token_, stream_), "zeroing a barrier's token");
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    config.commName = meeting_->label().c_str();
    const ncclResult_t result = ncclCommInitRankConfig(&comm_, size(), meeting_->id, rank, &config);
    try {
      settle(result, "making a communicator");
    } catch (const Error& error) {
      meeting_->abort(error);
      end(now() + ending_s);
      give_back();
      throw;
    }
    meeting_->enter(*this);
  }
  ~NcclCommunicator() override {
    if (works() && waiting_seconds() > 0) abort(Error(ErrorKind::runtime, fmt::format("replica {} left", rank_)));
    meeting_->leave(*this);
    if (works()) finish();
    give_back();
  }

  int rank() const override { return rank_; }
  int size() const override { return meeting_->size; }
  std::string text() const override { return version_text(); }

  void wait_for(const Stream& compute) override {
    compute_.record(handle_of(compute));
    compute_.block(stream_);
    timer_.ready(handle_of(compute));
  }
  void release_to(const Stream& compute) override {
    throw_if_aborted("release_to");
    timer_.needed(handle_of(compute));
    done_.record(stream_);
    done_.block(handle_of(compute));
  }

  void all_reduce(void* data, int64_t count, DType type, const char* name) override {
    enqueue("all_reduce", name, count, type, count,
            [&](size_t n, ncclDataType_t t) { return ncclAllReduce(data, data, n, t, ncclSum, comm_, stream_); });
  }
  void reduce_scatter(const void* in, void* out, int64_t count, DType type, const char* name) override {
    enqueue("reduce_scatter", name, count, type, count * size(),
            [&](size_t n, ncclDataType_t t) { return ncclReduceScatter(in, out, n, t, ncclSum, comm_, stream_); });
  }
  void all_gather(const void* in, void* out, int64_t count, DType type, const char* name) override {
    enqueue("all_gather", name, count, type, count * size(),
            [&](size_t n, ncclDataType_t t) { return ncclAllGather(in, out, n, t, comm_, stream_); });
  }
  void broadcast(void* data, int64_t count, DType type, int root, const char* name) override {
    enqueue("broadcast", name, count, type, count,
            [&](size_t n, ncclDataType_t t) { return ncclBroadcast(data, data, n, t, root, comm_, stream_); });
  }
  void barrier(const char* name) override {
    all_reduce(token_, 1, DType::i64, name);
    while (waiting_seconds() > 0) {
      throw_if_aborted(name);
      check_health();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

  void abort(const Error& reason) override { meeting_->abort(reason); }
  /// Ends this rank's collectives: takes the handle away, so that nobody else is inside NCCL with it or will be.
  void end_calls() {
    meeting_->lend_device(ordinal_);
    ncclComm_t gone = nullptr;
    {
      const std::lock_guard lock(mutex_);
      gone = std::exchange(comm_, nullptr);
    }
    if (gone) ncclCommAbort(gone);  // its answer changes nothing: the handle is gone
  }
  /// Until the kernels have left the GPU, or `deadline`.
  void wait_until_idle(double deadline) const {
    meeting_->lend_device(ordinal_);
    while (cudaStreamQuery(stream_) == cudaErrorNotReady && now() < deadline) {
      cudaGetLastError();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    cudaGetLastError();  // the next launch is not to blame
  }
  std::string last_collective() const override {
    meeting_->lend_device(ordinal_);
    const std::lock_guard lock(mutex_);
    if (calls_ == 0) return "none";
    return fmt::format("number {}, {}, {}", calls_ - 1, last_, running_.any() ? "not finished" : "finished");
  }
  int64_t calls() const override {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  double waiting_seconds() const override {
    meeting_->lend_device(ordinal_);
    const std::lock_guard lock(mutex_);
    return running_.any() ? std::max(now() - running_.oldest(), 1e-9) : 0;
  }
  void check_health() const override {
    const std::lock_guard lock(mutex_);
    ncclResult_t state = ncclSuccess;
    if (!comm_ || ncclCommGetAsyncError(comm_, &state) != ncclSuccess) return;
    if (state != ncclSuccess && state != ncclInProgress) refuse(state, "a collective");
  }

  void set_tracing(bool on) override { timer_.turn(on, stream_); }
  std::vector<CollectiveTrace> take_trace() override { return timer_.take(); }

 private:
  /// Calls NCCL, waits until the call is through (the collective itself runs on the stream), and notes both.
  void enqueue(const char* kind, const char* name, int64_t count, DType type, int64_t span,
               const std::function<ncclResult_t(size_t, ncclDataType_t)>& call) {
    timer_.begin(name, span * static_cast<int64_t>(size_of(type)), stream_);
    ncclResult_t result;
    {
      const std::lock_guard lock(mutex_);
      throw_if_aborted(name);
      last_ = fmt::format("{} '{}' of {} {}", kind, name, count, name_of(type));
      ++calls_;
      result = call(static_cast<size_t>(count), nccl_type(type));
    }
    settle(result, name);
    timer_.end(stream_);
    const std::lock_guard lock(mutex_);
    running_.add(stream_, now());
  }

  /// Until NCCL has done what it said it would, or failed, or the group is aborted, or time is up.
  void settle(ncclResult_t result, const char* what) {
    const double deadline = now() + seconds_;
    for (;; std::this_thread::sleep_for(std::chrono::microseconds(20))) {
      const std::lock_guard lock(mutex_);
      throw_if_aborted(what);
      if (result == ncclInProgress && ncclCommGetAsyncError(comm_, &result) != ncclSuccess) result = ncclInternalError;
      if (result == ncclSuccess) return;
      if (result != ncclInProgress) refuse(result, what);
      if (now() > deadline) {
        fail(ErrorKind::hang, "replica {}: {} ({}) was not done within {} s: did all {} replicas come?", rank_, what,
             meeting_->label(), seconds_, size());
      }
    }
  }

  [[noreturn]] void refuse(ncclResult_t result, const char* what) const {
    fail(ErrorKind::runtime, "replica {}: NCCL failed in {} ({}): {}; {}", rank_, what, meeting_->label(),
         ncclGetErrorString(result), ncclGetLastError(comm_));
  }
  void throw_if_aborted(const char* what) const {
    if (const auto reason = meeting_->aborted()) {
      throw CollectiveAborted(reason->kind(), fmt::format("replica {}: {} was ended: {}", rank_, what, reason->what()));
    }
  }
  bool works() const {
    const std::lock_guard lock(mutex_);
    return comm_ != nullptr;
  }

  void end(double deadline) {
    end_calls();
    wait_until_idle(deadline);
  }
  void finish() {
    try {
      settle(ncclCommFinalize(comm_), "finalising a communicator");
      ncclCommDestroy(std::exchange(comm_, nullptr));
    } catch (const Error& error) {
      meeting_->abort(error);
      end(now() + ending_s);
    }
  }
  /// What the communicator's kernels used, when they are done.
  void give_back() {
    cudaFree(token_);
    cudaStreamDestroy(stream_);
  }

  const std::shared_ptr<NcclRendezvous> meeting_;
  const int rank_, ordinal_;
  const double seconds_;
  cudaStream_t stream_ = nullptr;
  int64_t* token_ = nullptr;
  GpuEvent compute_, done_;
  CollectiveTimer timer_;

  mutable std::mutex mutex_;
  ncclComm_t comm_ = nullptr;
  int64_t calls_ = 0;
  std::string last_;
  mutable RunningCollectives running_;
};

void NcclRendezvous::abort(const Error& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (!aborted_) aborted_ = reason;
  }
  const std::lock_guard lock(members_mutex_);
  for (NcclCommunicator* member : members_) member->end_calls();  // all of them, before any is waited for
  const double deadline = now() + ending_s;
  for (const NcclCommunicator* member : members_) member->wait_until_idle(deadline);
}

void NcclRendezvous::enter(NcclCommunicator& member) {
  const std::lock_guard lock(members_mutex_);
  members_.push_back(&member);
  if (aborted()) member.end_calls();
}

std::unique_ptr<Communicator> NcclRendezvous::join(int rank, Device& device, double seconds) {
  if (device.kind() != DeviceKind::cuda) {
    fail(ErrorKind::usage, "replica {} is on {}: NCCL needs a GPU", rank, device.text());
  }
  {
    const std::lock_guard lock(mutex_);
    if (const auto [other, fresh] = rank_on_.emplace(device.ordinal(), rank); !fresh) {
      fail(ErrorKind::usage, "replicas {} and {} are both on {}: NCCL needs a GPU a replica", other->second, rank,
           device.text());
    }
  }
  device.make_current();
  return std::make_unique<NcclCommunicator>(shared_from_this(), rank, device.ordinal(), seconds);
}

}  // namespace

std::shared_ptr<Rendezvous> meet_by_nccl(int count, std::string label) {
  return std::make_shared<NcclRendezvous>(count, std::move(label));
}

}  // namespace bev
