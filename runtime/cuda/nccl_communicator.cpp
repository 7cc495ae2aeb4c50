// The communicator over NCCL: a replica, a thread and a GPU each, all in this process. Short on purpose: machines with
// several GPUs are rare, so this file is to be read line by line beside nccl.h. What it holds to:
//   - communicators are made by ncclCommInitRankConfig, each on its replica's thread, with blocking = 0: calls return
//   at
//     once, and ncclCommGetAsyncError is asked until they are done, so that nothing waits without a deadline;
//   - no two threads are inside NCCL on one communicator: mutex_ is held around every call, never while waiting;
//   - ncclSum alone (averages would rule out NVLS), on an own non-blocking stream, ordered by events;
//   - abort() is ncclCommAbort, which ends kernels that wait for a peer; the handle is never used after it;
//   - graphs that captured collectives must be destroyed before the communicator.
// NCCL reads its own environment variables (NCCL_DEBUG, NCCL_P2P_DISABLE, ...); only NCCL_DEBUG gets a default, WARN.
#include <cuda_runtime.h>
#include <nccl.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "runtime/cuda/nccl_calls.h"
#include "runtime/device.h"
#include "runtime/distributed/communicator.h"

namespace bev {

namespace {

using namespace nccl;

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
  void abort(const Error& reason) override {
    const std::lock_guard lock(mutex_);
    if (!aborted_) aborted_ = reason;
  }
  std::optional<Error> aborted() const {
    const std::lock_guard lock(mutex_);
    return aborted_;
  }

  const int size;
  ncclUniqueId id = {};

 private:
  const std::string label_;
  mutable std::mutex mutex_;
  std::optional<Error> aborted_;
  std::map<int, int> rank_on_;  // by GPU: NCCL refuses two ranks on one
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::shared_ptr<NcclRendezvous> meeting, int rank, double seconds)
      : meeting_(std::move(meeting)), rank_(rank), seconds_(seconds), compute_(false), done_(false) {
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
      abort(error);
      release();
      throw;
    }
  }
  ~NcclCommunicator() override { release(); }

  int rank() const override { return rank_; }
  int size() const override { return meeting_->size; }
  std::string text() const override { return version_text(); }

  void wait_for(const Stream& compute) override {
    compute_.record(handle_of(compute));
    compute_.block(stream_);
    if (!tracing_) return;
    ready_ = std::make_shared<GpuEvent>(true);
    ready_->record(handle_of(compute));
  }
  void release_to(const Stream& compute) override {
    refuse_if_aborted("release_to");
    if (tracing_) {
      const auto needed = std::make_shared<GpuEvent>(true);
      needed->record(handle_of(compute));
      for (Timed& timed : timed_) {
        if (!timed.needed) timed.needed = needed;
      }
    }
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
      refuse_if_aborted(name);
      check_health();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

  void abort(const Error& reason) override {
    const std::lock_guard lock(mutex_);
    if (aborted_) return;
    aborted_ = reason;
    if (!comm_) return;
    ncclCommAbort(std::exchange(comm_, nullptr));  // its answer changes nothing: the handle is gone
    const double deadline = now() + seconds_;
    while (cudaStreamQuery(stream_) == cudaErrorNotReady && now() < deadline) {
      cudaGetLastError();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
  std::string last_collective() const override {
    const std::lock_guard lock(mutex_);
    if (calls_ == 0) return "none";
    forget_finished();
    return fmt::format("number {}, {}, {}", calls_ - 1, last_, running_.empty() ? "finished" : "not finished");
  }
  int64_t calls() const override {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  double waiting_seconds() const override {
    const std::lock_guard lock(mutex_);
    forget_finished();
    return running_.empty() ? 0 : std::max(now() - running_.front().asked, 1e-9);
  }
  void check_health() const override {
    const std::lock_guard lock(mutex_);
    ncclResult_t state = ncclSuccess;
    if (!comm_ || ncclCommGetAsyncError(comm_, &state) != ncclSuccess) return;
    if (state != ncclSuccess && state != ncclInProgress) refuse(state, "a collective");
  }

  void set_tracing(bool on) override {
    tracing_ = on;
    if (!on) return;
    base_ = std::make_shared<GpuEvent>(true);
    base_->record(stream_);
  }
  std::vector<CollectiveTrace> take_trace() override {
    const auto end = std::find_if_not(timed_.begin(), timed_.end(), [](const Timed& timed) {
      return timed.needed && timed.finished->reached() && timed.needed->reached();
    });
    std::vector<CollectiveTrace> out;
    std::for_each(timed_.begin(), end, [&](const Timed& timed) {
      const auto at = [&](const EventHandle& event) { return event ? event->seconds_after(*base_) : 0.0; };
      out.push_back(
          {timed.name, timed.bytes, at(timed.ready), at(timed.started), at(timed.finished), at(timed.needed)});
    });
    timed_.erase(timed_.begin(), end);
    return out;
  }

 private:
  struct Running {
    EventHandle finished;
    double asked;
  };
  struct Timed {
    std::string name;
    int64_t bytes;
    EventHandle ready, started, finished, needed;
  };

  /// Calls NCCL, waits until the call is through (the collective itself runs on the stream), and notes both.
  void enqueue(const char* kind, const char* name, int64_t count, DType type, int64_t span,
               const std::function<ncclResult_t(size_t, ncclDataType_t)>& call) {
    const EventHandle started = tracing_ ? std::make_shared<GpuEvent>(true) : nullptr;
    const auto finished = std::make_shared<GpuEvent>(tracing_);
    if (started) started->record(stream_);
    ncclResult_t result;
    {
      const std::lock_guard lock(mutex_);
      throw_if_aborted(name);
      last_ = fmt::format("{} '{}' of {} {}", kind, name, count, name_of(type));
      ++calls_;
      result = call(static_cast<size_t>(count), nccl_type(type));
    }
    settle(result, name);
    finished->record(stream_);
    const std::lock_guard lock(mutex_);
    forget_finished();
    running_.push_back({finished, now()});
    if (tracing_)
      timed_.push_back({name, span * static_cast<int64_t>(size_of(type)), ready_, started, finished, nullptr});
  }

  /// Until NCCL has done what it said it would, or failed, or the group is aborted, or time is up.
  void settle(ncclResult_t result, const char* what) {
    const double deadline = now() + seconds_;
    for (;; std::this_thread::sleep_for(std::chrono::microseconds(20))) {
      if (const auto reason = meeting_->aborted()) throw CollectiveAborted(reason->kind(), reason->what());
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
    if (!aborted_) return;
    throw CollectiveAborted(aborted_->kind(),
                            fmt::format("replica {}: {} was ended: {}", rank_, what, aborted_->what()));
  }
  void refuse_if_aborted(const char* what) const {
    const std::lock_guard lock(mutex_);
    throw_if_aborted(what);
  }
  void forget_finished() const {
    while (!running_.empty() && running_.front().finished->reached()) running_.pop_front();
  }

  /// In order: the communicator, what its kernels used, the stream.
  void release() {
    if (comm_ && waiting_seconds() > 0) abort(Error(ErrorKind::runtime, fmt::format("replica {} left", rank_)));
    if (comm_) {
      try {
        settle(ncclCommFinalize(comm_), "finalising a communicator");
        ncclCommDestroy(std::exchange(comm_, nullptr));
      } catch (const Error& error) {
        abort(error);
      }
    }
    cudaFree(token_);
    cudaStreamDestroy(stream_);
  }

  const std::shared_ptr<NcclRendezvous> meeting_;
  const int rank_;
  const double seconds_;
  cudaStream_t stream_ = nullptr;
  int64_t* token_ = nullptr;
  GpuEvent compute_, done_;
  bool tracing_ = false;
  EventHandle base_, ready_;  // while tracing: time zero, and where compute was at the last wait_for
  std::vector<Timed> timed_;

  mutable std::mutex mutex_;
  ncclComm_t comm_ = nullptr;
  std::optional<Error> aborted_;
  int64_t calls_ = 0;
  std::string last_;
  mutable std::deque<Running> running_;
};

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
  return std::make_unique<NcclCommunicator>(shared_from_this(), rank, seconds);
}

}  // namespace

std::shared_ptr<Rendezvous> meet_by_nccl(int count, std::string label) {
  return std::make_shared<NcclRendezvous>(count, std::move(label));
}

}  // namespace bev
