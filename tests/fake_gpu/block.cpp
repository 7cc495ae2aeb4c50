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
  popq %rax
  jmpq *%rax
.size bev_fake_gpu_switch, .-bev_fake_gpu_switch
)");
#endif

thread_local uint3 threadIdx;
thread_local uint3 blockIdx;
thread_local dim3 blockDim;
thread_local dim3 gridDim;

namespace bev::fake_gpu {

namespace {

constexpr int warp_size = 32, lanes_at_most = 1024, warps_at_most = lanes_at_most / warp_size;

struct Warp {
  uint32_t present = 0;     // lanes that the block has
  uint32_t ready = 0;       // to begin or to go on
  uint32_t meeting = 0;     // the mask of the warp's barrier or shuffle that is being met; 0: none
  uint32_t arrived = 0;     // there
  uint32_t at_barrier = 0;  // of the block
  int rotation = 0;         // which lane is first
  int turn = 0;             // of two sets of values: a fast lane may be at the next shuffle already
  std::array<std::array<uint64_t, warp_size>, 2> values;
};

class Block;
thread_local Block* running = nullptr;

class Block {
 public:
  void prepare(dim3 block, void (*lane)(const void*), const void* arguments, uint64_t seed) {
    random_ = Random(seed);
    lane_ = lane;
    arguments_ = arguments;
    lanes_ = static_cast<int>(block.x * block.y * block.z);
    for (int i = 0; i < lanes_; ++i) {
      const auto at = static_cast<unsigned>(i);
      positions_[static_cast<size_t>(i)] = {at % block.x, at / block.x % block.y, at / (block.x * block.y)};
    }
  }

  void run() {
    warps_ = (lanes_ + warp_size - 1) / warp_size;
    warps_ready_ = 0;
    for (int w = 0; w < warps_; ++w) {
      Warp& warp = warps[w];
      const int count = std::min(warp_size, lanes_ - w * warp_size);
      warp.present = count == warp_size ? ~0u : (1u << count) - 1;
      warp.ready = warp.present;
      warp.meeting = warp.arrived = warp.at_barrier = 0;
      warp.rotation = random_.below(warp_size);
      warps_ready_ |= 1u << w;
    }
    std::fill_n(fibers_.begin(), lanes_, nullptr);
    done_ = at_barrier_ = 0;
    warp_ = random_.below(warps_);
    go_on(own_, next_lane());
  }

  void meet_block() {
    ++at_barrier_;
    warps[current_ / warp_size].at_barrier |= 1u << current_ % warp_size;
    suspend();
  }

  void meet_warp(uint32_t mask) {
    Warp& warp = warps[current_ / warp_size];
    const uint32_t own = 1u << current_ % warp_size;
    if (!(mask & own)) misuse(here() + " is not in the mask of its own shuffle or warp barrier");
    if (mask & ~warp.present) misuse(here() + " names lanes in a mask that the block does not have");
    if (warp.meeting != 0 && warp.meeting != mask) misuse(here() + " brings another mask than the rest of its warp");
    warp.meeting = mask;
    warp.arrived |= own;
    if (warp.arrived == mask) {
      warp.ready |= mask;
      warp.meeting = warp.arrived = 0;
      warp.turn ^= 1;
      warp.rotation = random_.below(warp_size);
    }
    suspend();
  }

  uint64_t exchange(uint32_t mask, uint64_t bits, int lane_mask) {
    Warp& warp = warps[current_ / warp_size];
    const int own = current_ % warp_size, other = own ^ lane_mask;
    if (lane_mask < 0 || other >= warp_size || !(mask >> other & 1)) {
      misuse(here() + " asks a lane for its value that its mask does not name");
    }
    const auto turn = static_cast<size_t>(warp.turn);
    warp.values[turn][static_cast<size_t>(own)] = bits;
    meet_warp(mask);
    return warp.values[turn][static_cast<size_t>(other)];
  }

  static void fiber() {
    for (Block* const block = running;;) {
      block->lane_(block->arguments_);
      block->finished();
    }
  }

 private:
  std::string here() const { return "lane " + std::to_string(current_) + " of a block of " + std::to_string(lanes_); }

  void enter(int lane) {
    current_ = lane;
    threadIdx = positions_[static_cast<size_t>(lane)];
  }

  /// The next lane, or -1 where all are done.
  int next_lane() {
    for (;;) {
      Warp& warp = warps[warp_];
      if (warp.ready) {
        const int lane = (std::countr_zero(std::rotr(warp.ready, warp.rotation)) + warp.rotation) % warp_size;
        warp.ready &= ~(1u << lane);
        return warp_ * warp_size + lane;
      }
      if (warp.meeting) {
        misuse("warp " + std::to_string(warp_) + ": a shuffle or warp barrier of the mask " +
               std::to_string(warp.meeting) + " is met by lanes " + std::to_string(warp.arrived) +
               " alone: the others are at a barrier of the block, or at their end");
      }
      warps_ready_ &= ~(1u << warp_);
      if (!warps_ready_) {
        if (done_ == lanes_) return -1;
        if (at_barrier_ != lanes_) {
          misuse("a barrier is reached by " + std::to_string(at_barrier_) + " of " + std::to_string(lanes_) +
                 " lanes of a block: the others have ended");
        }
        at_barrier_ = 0;
        for (int w = 0; w < warps_; ++w) {
          warps[w].ready = std::exchange(warps[w].at_barrier, 0);
          warps[w].rotation = random_.below(warp_size);
          warps_ready_ |= 1u << w;
        }
      }
      const int rotation = random_.below(warp_size);
      warp_ = (std::countr_zero(std::rotr(warps_ready_, rotation)) + rotation) % warp_size;
    }
  }

  /// The current lane waits until it is chosen again.
  void suspend() {
    const int own = current_;
    fibers_[static_cast<size_t>(own)] = on_;
    const int next = next_lane();
    if (next == own) return;
    go_on(*on_, next);
  }

  /// The current lane's fiber is free: for a lane that has not begun, or for later.
  void finished() {
    ++done_;
    const int next = next_lane();
    if (next >= 0 && !fibers_[static_cast<size_t>(next)]) return enter(next);
    free_.push_back(on_);
    if (next < 0) return on_->leave_for(own_);
    go_on(*on_, next);
  }

  void go_on(Fiber& from, int lane) {
    enter(lane);
    Fiber* to = fibers_[static_cast<size_t>(lane)];
    if (!to && free_.empty()) to = new Fiber(&Block::fiber);
    if (!to) {
      to = free_.back();
      free_.pop_back();
    }
    on_ = to;
    from.leave_for(*to);
  }

  Random random_{0};
  void (*lane_)(const void*) = nullptr;
  const void* arguments_ = nullptr;
  int lanes_ = 0, warps_ = 0, warp_ = 0, current_ = 0, done_ = 0, at_barrier_ = 0;
  uint32_t warps_ready_ = 0;
  std::array<Warp, warps_at_most> warps;
  std::array<uint3, lanes_at_most> positions_;
  std::array<Fiber*, lanes_at_most> fibers_ = {};  // on which lanes wait
  std::vector<Fiber*> free_;
  Fiber own_;  // the thread's
  Fiber* on_ = nullptr;
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
