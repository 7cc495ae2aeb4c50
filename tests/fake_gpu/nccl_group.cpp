#include "tests/fake_gpu/nccl_group.h"

#include <algorithm>
#include <cstring>

#include "tests/fake_gpu/fake_gpu.h"

namespace bev::fake_gpu {

ncclResult_t NcclGroup::join(int rank, int size, int device) {
  std::unique_lock lock(mutex_);
  if (size_ != 0 && size_ != size) misuse("ncclCommInitRankConfig: ranks disagree on their number");
  size_ = size;
  const auto [own, fresh] = members_.emplace(rank, Member{.device = device});
  if (!fresh) misuse("ncclCommInitRankConfig: rank " + std::to_string(rank) + " came twice with one unique id");
  changed_.notify_all();
  changed_.wait(lock, [&] { return members_.size() == static_cast<size_t>(size) || someone_aborted_ || ending_; });
  if (someone_aborted_ || ending_) return ncclRemoteError;
  for (const auto& [other, member] : members_) {
    if (other != rank && member.device == device) return ncclInvalidUsage;
  }
  // Those that share no GPU wait in vain for those that do.
  changed_.wait(lock, [&] {
    std::map<int, int> on;
    for (const auto& [other, member] : members_) ++on[member.device];
    const bool alone = std::all_of(on.begin(), on.end(), [](const auto& count) { return count.second == 1; });
    return alone || someone_aborted_ || ending_;
  });
  return someone_aborted_ || ending_ ? ncclRemoteError : ncclSuccess;
}

void NcclGroup::meet(int rank, int64_t number, const Collective& what, const Buffers& own) {
  std::unique_lock lock(mutex_);
  Member& self = members_.at(rank);
  changed_.wait(lock, [&] { return self.done == number || self.aborted || ending_; });
  if (self.aborted || ending_) return;
  const auto [place, fresh] = meetings_.try_emplace(number, Meeting{.what = what, .buffers = {}});
  Meeting& meeting = place->second;
  if (fresh) meeting.buffers.resize(static_cast<size_t>(size_));
  if (!(meeting.what == what)) {
    misuse("NCCL: collective number " + std::to_string(number) + " is " + what.text() + " on rank " +
           std::to_string(rank) + ", and " + meeting.what.text() + " on another: they would hang or mix up");
  }
  meeting.buffers[static_cast<size_t>(rank)] = own;
  if (++meeting.arrived == static_cast<size_t>(size_)) {
    perform(what, meeting.buffers);
    meeting.done = true;
    changed_.notify_all();
  }
  changed_.wait(lock, [&] { return meeting.done || self.aborted || ending_; });
  if (!meeting.done && !ending_) std::memset(own.receive, 0xff, what.received(size_));  // broken off
  ++self.done;
  if (++meeting.left == static_cast<size_t>(size_)) meetings_.erase(place);
  changed_.notify_all();
}

bool NcclGroup::finish(int rank, int64_t collectives) {
  std::unique_lock lock(mutex_);
  Member& self = members_.at(rank);
  changed_.wait(lock, [&] { return self.done == collectives || self.aborted || ending_; });
  self.finished = true;
  changed_.notify_all();
  changed_.wait(lock, [&] {
    const auto through = [](const auto& member) { return member.second.finished; };
    return self.aborted || ending_ || std::all_of(members_.begin(), members_.end(), through);
  });
  return !self.aborted && !ending_;
}

void NcclGroup::abort(int rank) {
  const std::lock_guard lock(mutex_);
  someone_aborted_ = true;
  if (const auto own = members_.find(rank); own != members_.end()) own->second.aborted = true;
  changed_.notify_all();
}

void NcclGroup::end() {
  const std::lock_guard lock(mutex_);
  ending_ = true;
  changed_.notify_all();
}

}  // namespace bev::fake_gpu
