// Lanes as fibers: teams compute what they should, and what is missing or wrong is seen.
#include "tests/fake_gpu/device_code.h"
// First: it is to kernels what nvcc gives them.
#include <doctest/doctest.h>

#include <vector>

#include "kernels/team.h"
#include "tests/fake_gpu/block.h"
#include "tests/fake_gpu/death.h"

namespace bev::fake_gpu {

namespace {

template <class Lane>
void run(dim3 grid, dim3 block, const Lane& lane, uint64_t seed) {
  run_grid(
      grid, block, [](const void* kept) { (*static_cast<const Lane*>(kept))(); }, &lane, seed);
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// A team's sum as it should be, and without one of its two barriers.
enum class Missing { nothing, before, after };
template <Missing missing>
int sum_of_block(int value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  __shared__ int partial[4];
  if constexpr (missing != Missing::before) __syncthreads();
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  if constexpr (missing != Missing::after) __syncthreads();
  return partial[0] + partial[1] + partial[2] + partial[3];
}

/// Lanes that got a wrong sum, over some seeds.
template <Missing missing>
int wrong_sums() {
  int wrong = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    run(
        1, 128,
        [&] {
          const int first = sum_of_block<missing>(1), second = sum_of_block<missing>(static_cast<int>(threadIdx.x));
          wrong += first != 128 || second != 127 * 64;
        },
        seed * 0x9E3779B97F4A7C15u);
  }
  return wrong;
}

}  // namespace

TEST_CASE("every lane of every block runs once, and knows where it is") {
  std::vector<int> times(3 * 2 * 5 * 4);
  run(
      dim3(3, 2), dim3(5, 4),
      [&] {
        const unsigned block = blockIdx.y * gridDim.x + blockIdx.x, lane = threadIdx.y * blockDim.x + threadIdx.x;
        ++times[block * 20 + lane];
      },
      7);
  for (const int count : times) CHECK(count == 1);
}

TEST_CASE("teams sum, of a warp and of a block, again and again") {
  for (uint64_t seed = 1; seed < 20; ++seed) {
    int wrong = 0;
    run(
        3, 256,
        [&] {
          for (int round = 0; round < 3; ++round) {
            wrong += CudaTeam<256>{}.sum<int64_t>(1000, [](int64_t i) { return i; }) != 499500;
            wrong += CudaTeam<256>{}.max<float>(1000, [](int64_t i) { return static_cast<float>(i % 700); }) != 699;
          }
        },
        seed << 30);
    run(
        2, 64,
        [&] { wrong += CudaTeam<32>{}.sum<double>(100, [](int64_t i) { return static_cast<double>(i); }) != 4950; },
        seed);
    CHECK(wrong == 0);
  }
}

TEST_CASE("a barrier that is missing gives wrong sums") {
  CHECK(wrong_sums<Missing::nothing>() == 0);
  CHECK(wrong_sums<Missing::before>() > 0);
  CHECK(wrong_sums<Missing::after>() > 0);
}

TEST_CASE("a warp's barrier that is missing gives wrong values") {
  const auto wrong = [](bool synced) {
    int out = 0;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      int values[32] = {};
      run(
          1, 32,
          [&] {
            values[threadIdx.x] = 1;
            if (synced) __syncwarp();
            out += values[31 - threadIdx.x] != 1;
          },
          seed);
    }
    return out;
  };
  CHECK(wrong(true) == 0);
  CHECK(wrong(false) > 0);
}

TEST_CASE("a barrier that some lanes leave out ends the process") {
  const auto words = last_words([] {
    run(
        1, 64,
        [] {
          if (threadIdx.x < 60) __syncthreads();
        },
        1);
  });
  CHECK(contains(words, "a barrier is reached by 60 of 64 lanes"));
}

TEST_CASE("a shuffle without all that its mask names ends the process") {
  CHECK(contains(last_words([] {
                   run(
                       1, 32,
                       [] {
                         if (threadIdx.x != 5) __shfl_xor_sync(0xffffffffu, 1, 1);
                       },
                       1);
                 }),
                 "a shuffle or warp barrier"));
  CHECK(contains(last_words([] {
                   run(
                       1, 16, [] { __shfl_xor_sync(0xffffffffu, 1, 1); }, 1);
                 }),
                 "lanes in a mask"));
  CHECK(contains(last_words([] {
                   run(
                       1, 64,
                       [] {
                         if (threadIdx.x == 3) {
                           __syncthreads();
                         } else {
                           __syncwarp();
                         }
                       },
                       1);
                 }),
                 "are at a barrier of the block"));
}

TEST_CASE("half a warp may shuffle by itself") {
  int wrong = 0;
  run(
      1, 16,
      [&] {
        wrong += __shfl_xor_sync(0xffffu, static_cast<int>(threadIdx.x), 8) != (static_cast<int>(threadIdx.x) ^ 8);
      },
      3);
  CHECK(wrong == 0);
}

}  // namespace bev::fake_gpu
