// NCCL's communicators. Each has a thread that does what its calls ask for a little later, as with blocking = 0: until
// ncclCommGetAsyncError says that it is done, nothing of it need have reached the stream.
#include <nccl.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "tests/fake_gpu/nccl_group.h"
#include "tests/fake_gpu/real_library.h"
#include "tests/fake_gpu/settings.h"

namespace bev::fake_gpu {

namespace {

struct Communicator {
  std::shared_ptr<NcclGroup> group;
  int rank = 0, size = 0, device = 0;
  bool blocking = false, finalized = false;
  int64_t collectives = 0;
  std::atomic<ncclResult_t> state = ncclInProgress;
  std::atomic<bool> inside = false;
  std::thread worker;  // of the last call
};

struct Library {
  std::mutex mutex;
  std::map<uint64_t, std::shared_ptr<NcclGroup>> groups;  // by unique id
  std::map<ncclComm_t, std::shared_ptr<Communicator>> living;
  uint64_t ids = 0;
};

Library& library() {
  static auto* const out = [] {
    // What still waits for other ranks when the process ends waits no longer.
    std::atexit([] {
      const std::lock_guard lock(library().mutex);
      for (const auto& [id, group] : library().groups) group->end();
    });
    return new Library;
  }();
  return *out;
}

thread_local std::string last_error = "no error";

ncclResult_t refuse(ncclResult_t result, std::string why) {
  last_error = std::move(why);
  return result;
}

/// Whether it is this rank's network that FAKE_GPU_NCCL_FAILS ("RANK COLLECTIVES") breaks, after so many of them.
bool fails(const Communicator& own) {
  static const auto wanted = [] {
    std::pair<int, long> out = {-1, 0};
    if (const char* text = std::getenv("FAKE_GPU_NCCL_FAILS")) std::sscanf(text, "%d %ld", &out.first, &out.second);
    return out;
  }();
  return own.rank == wanted.first && own.collectives >= wanted.second;
}

/// A living communicator, for one call: no other thread may be inside NCCL with it.
class Entered {
 public:
  Entered(const char* call, ncclComm_t handle) {
    {
      const std::lock_guard lock(library().mutex);
      const auto found = library().living.find(handle);
      if (found == library().living.end()) misuse(std::string(call) + ": a communicator that is not there any longer");
      it_ = found->second;
    }
    if (it_->inside.exchange(true))
      misuse(std::string(call) + ": another thread is inside NCCL with this communicator");
  }
  ~Entered() { it_->inside = false; }
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;
  Communicator* operator->() const { return it_.get(); }
  const std::shared_ptr<Communicator>& shared() const { return it_; }

 private:
  std::shared_ptr<Communicator> it_;
};

void check_ready(const char* call, const Entered& own) {
  if (own->state == ncclInProgress) {
    misuse(std::string(call) +
           ": the communicator's last call is not done: ncclCommGetAsyncError still says in progress");
  }
}

/// Has `work` done by the communicator's thread, on its device. What it returns becomes the communicator's state; where
/// the call waits for that, its answer too.
ncclResult_t later(const std::shared_ptr<Communicator>& own, bool waits,
                   std::function<ncclResult_t(Communicator&)> work) {
  if (own->worker.joinable()) own->worker.join();
  own->state = ncclInProgress;
  own->worker = std::thread([it = own.get(), work = std::move(work)] {
    std::this_thread::sleep_for(std::chrono::microseconds(50 + 40 * (it->collectives * 7 + it->rank) % 500));
    cudaSetDevice(it->device);
    it->state = work(*it);
  });
  if (!waits) return ncclInProgress;
  own->worker.join();
  return own->state;
}

void bury(ncclComm_t handle) {
  const std::lock_guard lock(library().mutex);
  library().living.erase(handle);
  count(Thing::communicator, -1);
  delete reinterpret_cast<char*>(handle);
}

ncclResult_t collective(const char* call, const Collective& what, const void* send, void* receive, ncclComm_t comm,
                        cudaStream_t stream) {
  const Entered own(call, comm);
  check_ready(call, own);
  if (own->state != ncclSuccess) return own->state;
  if (own->finalized) misuse(std::string(call) + ": the communicator is finalised");
  if (bytes_of(what.type) == 0) return refuse(ncclInvalidArgument, "a type that is not pretended");
  if (!is_pretended(what.operation)) return refuse(ncclInvalidArgument, "an operation that is not pretended");
  if (what.root < 0 || what.root >= own->size) return refuse(ncclInvalidArgument, "a root that is no rank");
  if (stream && device_of(stream, call) != own->device) misuse(std::string(call) + ": a stream of another device");
  if (stream && is_captured(stream)) misuse(std::string(call) + ": collectives in a captured graph are not pretended");
  const Buffers buffers = {static_cast<const std::byte*>(send), static_cast<std::byte*>(receive)};
  const int64_t number = own->collectives++;
  const bool waits = own->blocking || number % 4 == 3;  // it may be done at once with blocking = 0 too
  return later(own.shared(), waits, [=](Communicator& it) {
    if (what.kind != CollectiveKind::broadcast || it.rank == what.root) {
      require_device_memory(what.text(), "the send buffer", send, what.sent(it.size));
    }
    require_device_memory(what.text(), "the receive buffer", receive, what.received(it.size));
    check_overlap(what, it.rank, it.size, buffers);
    enqueue(stream, what.text(),
            [group = it.group, rank = it.rank, number, what, buffers] { group->meet(rank, number, what, buffers); });
    return ncclSuccess;
  });
}

}  // namespace

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

ncclResult_t ncclGetUniqueId(ncclUniqueId* out) {
  if (!out) return ncclInvalidArgument;
  const std::lock_guard lock(library().mutex);
  const uint64_t number = ++library().ids;
  library().groups[number] = std::make_shared<NcclGroup>();
  std::memset(out, 0x5a, sizeof *out);
  std::memcpy(out->internal, &number, sizeof number);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* out, int size, ncclUniqueId id, int rank, ncclConfig_t* config) {
  const ncclConfig_t fresh = NCCL_CONFIG_INITIALIZER;
  if (!out || size < 1 || rank < 0 || rank >= size) return refuse(ncclInvalidArgument, "no such rank");
  if (config && (config->size != fresh.size || config->magic != fresh.magic || config->version != fresh.version)) {
    return refuse(ncclInvalidArgument, "a config that was not made by NCCL_CONFIG_INITIALIZER");
  }
  if (config && config->blocking != 0 && config->blocking != 1 && config->blocking != NCCL_CONFIG_UNDEF_INT) {
    return refuse(ncclInvalidArgument, "blocking is neither 0 nor 1");
  }
  const auto own = std::make_shared<Communicator>();
  uint64_t number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  own->rank = rank;
  own->size = size;
  own->blocking = !config || config->blocking != 0;
  if (cudaGetDevice(&own->device) != cudaSuccess) return refuse(ncclUnhandledCudaError, "no device");
  {
    const std::lock_guard lock(library().mutex);
    const auto found = library().groups.find(number);
    if (found == library().groups.end()) misuse("ncclCommInitRankConfig: a unique id that was never made");
    own->group = found->second;
    *out = reinterpret_cast<ncclComm_t>(new char);
    library().living[*out] = own;
    count(Thing::communicator, 1);
  }
  return later(own, own->blocking, [](Communicator& it) { return it.group->join(it.rank, it.size, it.device); });
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* out) {
  const Entered own("ncclCommGetAsyncError", comm);
  if (!out) return ncclInvalidArgument;
  if (own->state == ncclSuccess && fails(*own.shared())) own->state = ncclRemoteError;
  *out = own->state;
  if (*out != ncclSuccess && *out != ncclInProgress) refuse(*out, "what the communicator's thread was to do failed");
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t type, ncclRedOp_t operation,
                           ncclComm_t comm, cudaStream_t stream) {
  return collective("ncclAllReduce", {CollectiveKind::all_reduce, count, type, operation, 0}, send, receive, comm,
                    stream);
}
ncclResult_t ncclReduceScatter(const void* send, void* receive, size_t count, ncclDataType_t type,
                               ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream) {
  return collective("ncclReduceScatter", {CollectiveKind::reduce_scatter, count, type, operation, 0}, send, receive,
                    comm, stream);
}
ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return collective("ncclAllGather", {CollectiveKind::all_gather, count, type, ncclSum, 0}, send, receive, comm,
                    stream);
}
ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return collective("ncclBroadcast", {CollectiveKind::broadcast, count, type, ncclSum, root}, send, receive, comm,
                    stream);
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const Entered own("ncclCommFinalize", comm);
  check_ready("ncclCommFinalize", own);
  if (own->state != ncclSuccess) return own->state;
  if (own->finalized) return refuse(ncclInvalidArgument, "the communicator is finalised");
  own->finalized = true;
  return later(own.shared(), own->blocking, [](Communicator& it) {
    return it.group->finish(it.rank, it.collectives) ? ncclSuccess : ncclInternalError;
  });
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  {
    const Entered own("ncclCommDestroy", comm);
    check_ready("ncclCommDestroy", own);
    if (!own->finalized) own->group->finish(own->rank, own->collectives);  // which waits for the other ranks
    if (own->worker.joinable()) own->worker.join();
  }
  bury(comm);
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  {
    const Entered own("ncclCommAbort", comm);
    own->group->abort(own->rank);
    if (own->worker.joinable()) own->worker.join();
  }
  bury(comm);
  return ncclSuccess;
}

const char* ncclGetLastError(ncclComm_t) { return last_error.c_str(); }
