#include "tests/fake_gpu/block.h"

#include <array>
#include <bit>
#include <string>
#include <vector>

#include "tests/fake_gpu/device_code.h"
#include "tests/fake_gpu/fake_gpu.h"
#include "tests/fake_gpu/fiber.h"
#include "tests/fake_gpu/random.h"

#if defined(__x86_64__)
asm(R"(
.text
.hidden bev_fake_gpu_switch
.globl bev_fake_gpu_switch
.type bev_fake_gpu_switch, @function
bev_fake_gpu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size bev_fake_gpu_switch, .-bev_fake_gpu_switch
)");
#endif

thread_local uint3 threadIdx;
thread_local uint3 blockIdx;
thread_local dim3 blockDim;
thread_local dim3 gridDim;

namespace bev::fake_gpu {

namespace {

constexpr unsigned warp_size = 32, lanes_at_most = 1024, warps_at_most = lanes_at_most / warp_size;

struct Warp {
  unsigned first = 0;       // of its lanes
  uint32_t present = 0;     // lanes that the block has
  uint32_t ready = 0;       // to begin or to go on; turned to the right by `rotation`, which says which one is first
  int rotation = 0;
  uint32_t meeting = 0;     // the mask of the warp's barrier or shuffle that is being met; 0: none
  uint32_t arrived = 0;     // there
  uint32_t at_barrier = 0;  // of the block
  unsigned turn = 0;        // of two sets of values: a fast lane may be at the next shuffle already
  std::array<std::array<uint64_t, warp_size>, 2> values;

  void make_ready(uint32_t lanes, int new_rotation) {
    ready = std::rotr(std::rotl(ready, rotation) | lanes, new_rotation);
    rotation = new_rotation;
  }
};

class Block;
thread_local Block* running = nullptr;

class Block {
 public:
  void prepare(dim3 block, void (*lane)(const void*), const void* arguments, uint64_t seed) {
    random_ = Random(seed);
    lane_ = lane;
    arguments_ = arguments;
    lanes_ = block.x * block.y * block.z;
    for (unsigned i = 0; i < lanes_; ++i) {
      positions_[i] = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
    }
  }

  void run() {
    warps_ = (lanes_ + warp_size - 1) / warp_size;
    warps_ready_ = 0;
    for (unsigned w = 0; w < warps_; ++w) {
      const unsigned count = std::min(warp_size, lanes_ - w * warp_size);
      Warp& warp = all_[w];
      warp.first = w * warp_size;
      warp.present = count == warp_size ? ~0u : (1u << count) - 1;
      warp.ready = warp.meeting = warp.arrived = warp.at_barrier = 0;
      warp.make_ready(warp.present, random_.below(warp_size));
      warps_ready_ |= 1u << w;
    }
    std::fill_n(fibers_.begin(), lanes_, nullptr);
    done_ = at_barrier_ = 0;
    warp_ = &all_[static_cast<size_t>(random_.below(static_cast<int>(warps_)))];
    go_on(own_, next_lane());
  }

  void meet_block() {
    ++at_barrier_;
    warp_->at_barrier |= 1u << current_ % warp_size;
    suspend();
  }

  void meet_warp(uint32_t mask) {
    Warp& warp = *warp_;
    const uint32_t own = 1u << current_ % warp_size;
    if (!(mask & own) || (mask & ~warp.present) || (warp.meeting != 0 && warp.meeting != mask)) wrong_mask(mask);
    warp.meeting = mask;
    warp.arrived |= own;
    if (warp.arrived == mask) {
      warp.meeting = warp.arrived = 0;
      warp.turn ^= 1;
      warp.make_ready(mask, random_.below(warp_size));
    }
    suspend();
  }

  uint64_t exchange(uint32_t mask, uint64_t bits, int lane_mask) {
    Warp& warp = *warp_;
    const unsigned own = current_ % warp_size, other = own ^ static_cast<unsigned>(lane_mask), turn = warp.turn;
    if (other >= warp_size || !(mask >> other & 1)) {
      misuse(here() + " asks a lane for its value that its mask does not name");
    }
    warp.values[turn][own] = bits;
    meet_warp(mask);
    return warp.values[turn][other];
  }

  static void fiber() {
    for (Block* const block = running;;) {
      block->lane_(block->arguments_);
      block->finished();
    }
  }

 private:
  std::string here() const { return "lane " + std::to_string(current_) + " of a block of " + std::to_string(lanes_); }
  [[noreturn, gnu::cold, gnu::noinline]] void wrong_mask(uint32_t mask) const {
    misuse(here() + (!(mask >> current_ % warp_size & 1) ? " is not in the mask of its own shuffle or warp barrier"
                     : mask & ~warp_->present            ? " names lanes in a mask that the block does not have"
                                                         : " brings another mask than the rest of its warp"));
  }

  void enter(unsigned lane) {
    current_ = lane;
    threadIdx = positions_[lane];
  }

  static constexpr unsigned none = ~0u;

  /// The next lane, or none where all are done.
  unsigned next_lane() {
    while (!warp_->ready) change_warp();
    if (done_ == lanes_) return none;
    const auto turned = static_cast<unsigned>(std::countr_zero(warp_->ready));
    warp_->ready &= warp_->ready - 1;
    return warp_->first + (turned + static_cast<unsigned>(warp_->rotation)) % warp_size;
  }

  /// From a warp that cannot go on to one that can.
  [[gnu::noinline]] void change_warp() {
    if (warp_->meeting) {
      misuse("warp " + std::to_string(warp_ - all_.data()) + ": a shuffle or warp barrier of the mask " +
             std::to_string(warp_->meeting) + " is met by lanes " + std::to_string(warp_->arrived) +
             " alone: the others are at a barrier of the block, or at their end");
    }
    warps_ready_ &= ~(1u << (warp_ - all_.data()));
    if (!warps_ready_) {
      if (done_ == lanes_) {
        warp_->ready = 1;  // ends the search
        return;
      }
      if (at_barrier_ != lanes_) {
        misuse("a barrier is reached by " + std::to_string(at_barrier_) + " of " + std::to_string(lanes_) +
               " lanes of a block: the others have ended");
      }
      at_barrier_ = 0;
      for (unsigned w = 0; w < warps_; ++w) {
        all_[w].make_ready(std::exchange(all_[w].at_barrier, 0), random_.below(warp_size));
        warps_ready_ |= 1u << w;
      }
    }
    const int rotation = random_.below(warp_size);
    warp_ = &all_[static_cast<size_t>(std::countr_zero(std::rotr(warps_ready_, rotation)) + rotation) % warp_size];
  }

  /// The current lane waits until it is chosen again.
  void suspend() {
    const unsigned own = current_;
    fibers_[own] = on_;
    const unsigned next = next_lane();
    if (next != own) go_on(*on_, next);
  }

  /// The current lane's fiber is free: for a lane that has not begun, or for later.
  void finished() {
    ++done_;
    const unsigned next = next_lane();
    if (next != none && !fibers_[next]) return enter(next);
    free_.push_back(on_);
    if (next == none) return on_->leave_for(own_);
    go_on(*on_, next);
  }

  void go_on(Fiber& from, unsigned lane) {
    enter(lane);
    on_ = fibers_[lane] ? fibers_[lane] : free_fiber();
    from.leave_for(*on_);
  }

  [[gnu::noinline]] Fiber* free_fiber() {
    if (free_.empty()) return new Fiber(&Block::fiber);
    Fiber* const out = free_.back();
    free_.pop_back();
    return out;
  }

  Random random_{0};
  void (*lane_)(const void*) = nullptr;
  const void* arguments_ = nullptr;
  Warp* warp_ = nullptr;  // the current lane's
  unsigned lanes_ = 0, warps_ = 0, current_ = 0, done_ = 0, at_barrier_ = 0;
  uint32_t warps_ready_ = 0;
  Fiber* on_ = nullptr;
  std::array<Warp, warps_at_most> all_;
  std::array<uint3, lanes_at_most> positions_;
  std::array<Fiber*, lanes_at_most> fibers_ = {};  // on which lanes wait
  std::vector<Fiber*> free_;
  Fiber own_;  // the thread's
};

Block& current_block(const char* what) {
  if (!running) misuse(std::string(what) + " outside of a kernel");
  return *running;
}

}  // namespace

void block_barrier() { current_block("__syncthreads").meet_block(); }
void warp_barrier(unsigned mask) { current_block("__syncwarp").meet_warp(mask); }
uint64_t warp_exchange(unsigned mask, uint64_t bits, int lane_mask) {
  return current_block("__shfl_xor_sync").exchange(mask, bits, lane_mask);
}

void run_grid(dim3 grid, dim3 block, void (*lane)(const void*), const void* arguments, uint64_t seed) {
  if (!running) running = new Block;  // with its stacks as long as the process: threads are few
  running->prepare(block, lane, arguments, seed);
  gridDim = grid;
  blockDim = block;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z, first = seed % blocks;
  const bool upwards = seed >> 32 & 1;
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t at = (upwards ? first + i : first + blocks - i) % blocks;
    blockIdx = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                static_cast<unsigned>(at / (uint64_t{grid.x} * grid.y))};
    running->run();
  }
}

}  // namespace bev::fake_gpu
