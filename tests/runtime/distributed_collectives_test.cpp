// Collectives of threads against straightforward loops, for every number of replicas, type and awkward count.
#include <doctest/doctest.h>

#include <cstring>
#include <numeric>

#include "runtime/tensor.h"
#include "tests/support/replicas.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using test::contains;
using test::error_of;
using test::on_threads;

namespace {

const std::vector<int> replica_counts = {1, 2, 3, 4, 8};
const std::vector<int64_t> element_counts = {0, 1, 7, 64, 1000, 4099};

/// Numbers whose sums depend, in floating point, on the order in which they are taken.
template <class T>
T number(int rank, int64_t i) {
  if constexpr (std::is_integral_v<T>) return static_cast<T>((rank + 1) * 1000003 + i * 17);
  return static_cast<T>((rank % 2 ? -1.0 : 1.0) * (1.0 + 0.37 * static_cast<double>(i % 91)) *
                        (rank == 0 ? 1e6 : 1.0 / (rank + 0.7)));
}

template <class T>
std::vector<T> numbers(int rank, int64_t count) {
  std::vector<T> out(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) out[static_cast<size_t>(i)] = number<T>(rank, i);
  return out;
}

template <class T>
T sum_in_order(int size, int64_t i) {
  T sum = number<T>(0, i);
  for (int rank = 1; rank < size; ++rank) sum += number<T>(rank, i);
  return sum;
}

template <class T>
void check_all(Communicator& c, int64_t count) {
  const int size = c.size(), rank = c.rank();
  const auto at = [](std::vector<T>& v, int64_t i) -> T& { return v[static_cast<size_t>(i)]; };

  std::vector<T> reduced = numbers<T>(rank, count), wide = numbers<T>(rank, count * size),
                 own(static_cast<size_t>(count)), gathered(static_cast<size_t>(count * size)),
                 sent = numbers<T>(rank, count), in_place = numbers<T>(rank, count * size),
                 told = numbers<T>(rank, count);
  c.wait_for(Stream{});
  c.all_reduce(reduced.data(), count, dtype_of<T>(), "all_reduce");
  c.reduce_scatter(wide.data(), own.data(), count, dtype_of<T>(), "reduce_scatter");
  c.reduce_scatter(in_place.data(), in_place.data() + rank * count, count, dtype_of<T>(), "reduce_scatter in place");
  c.all_gather(sent.data(), gathered.data(), count, dtype_of<T>(), "all_gather");
  c.broadcast(told.data(), count, dtype_of<T>(), size - 1, "broadcast");
  c.release_to(Stream{});
  int64_t wrong = 0;  // counted, since a check of its own for each element costs more than the collective
  for (int64_t i = 0; i < count; ++i) {
    wrong += at(reduced, i) != sum_in_order<T>(size, i);
    wrong += at(own, i) != sum_in_order<T>(size, rank * count + i);
    wrong += at(in_place, rank * count + i) != sum_in_order<T>(size, rank * count + i);
    wrong += at(told, i) != number<T>(size - 1, i);
    for (int r = 0; r < size; ++r) wrong += at(gathered, r * count + i) != number<T>(r, i);
  }
  REQUIRE(wrong == 0);
  // In place, and behind one another on the same memory: each sees what the one before has left.
  c.all_gather(in_place.data() + rank * count, in_place.data(), count, dtype_of<T>(), "all_gather in place");
  c.all_reduce(in_place.data(), count * size, dtype_of<T>(), "on top");
  c.release_to(Stream{});
  for (int64_t i = 0; i < count * size; ++i) {
    T expected = sum_in_order<T>(size, i);
    for (int r = 1; r < size; ++r) expected += sum_in_order<T>(size, i);
    wrong += at(in_place, i) != expected;
  }
  REQUIRE(wrong == 0);
}

}  // namespace

TEST_CASE("collectives equal plain sums in the order of ranks, bit for bit") {
  for (const int size : replica_counts) {
    CAPTURE(size);
    on_threads(size, [](Communicator& c) {
      for (const int64_t count : element_counts) {
        check_all<float>(c, count);
        check_all<double>(c, count);
        check_all<int64_t>(c, count);
      }
    });
  }
}

TEST_CASE("types that are only moved keep their bits, on odd addresses too") {
  on_threads(3, [](Communicator& c) {
    std::vector<uint8_t> bytes(1 + 3 * 5, 0);
    for (size_t i = 0; i < 5; ++i)
      bytes[1 + static_cast<size_t>(c.rank()) * 5 + i] = static_cast<uint8_t>(c.rank() * 50 + i);
    std::vector<uint16_t> halves(8, static_cast<uint16_t>(0x7fc1 + c.rank()));  // a NaN's bits in bf16
    c.all_gather(bytes.data() + 1 + c.rank() * 5, bytes.data() + 1, 5, DType::u8, "bytes");
    c.broadcast(halves.data(), 8, DType::bf16, 1, "halves");
    c.release_to(Stream{});
    for (size_t i = 0; i < 15; ++i) REQUIRE(bytes[1 + i] == i / 5 * 50 + i % 5);
    for (const uint16_t half : halves) REQUIRE(half == 0x7fc2);
    const std::string refused = error_of(ErrorKind::runtime, [&] { c.all_reduce(bytes.data(), 1, DType::u8, "sum"); });
    REQUIRE(contains(refused, "U8"));
  });
}

TEST_CASE("collectives return at once and are finished after release_to") {
  // Nobody could call the second collective if the first one waited for the others.
  on_threads(4, [](Communicator& c) {
    std::vector<std::vector<double>> spans(20, std::vector<double>(100, c.rank()));
    for (auto& span : spans) c.all_reduce(span.data(), 100, DType::f64, "span");
    CHECK(c.calls() == 20);
    c.release_to(Stream{});
    CHECK(contains(c.last_collective(), "finished"));
    CHECK(c.waiting_seconds() == 0);
    for (const auto& span : spans) REQUIRE(span[57] == 6);
  });
}

TEST_CASE("replicas that call different collectives are told so") {
  const std::string message = error_of(ErrorKind::runtime, [] {
    on_threads(2, [](Communicator& c) {
      double x = 1;
      c.all_reduce(&x, 1, DType::f64, c.rank() == 0 ? "bucket 0" : "bucket 1");
      c.release_to(Stream{});
    });
  });
  CHECK(contains(message, "different collectives"));
  CHECK(contains(message, "all_reduce 'bucket 0' of 1 F64"));
  CHECK(contains(message, "all_reduce 'bucket 1' of 1 F64"));
}

TEST_CASE("a replica that leaves is missed at once, not after a time-out") {
  auto communicators = make_thread_communicators(2);
  double x = 1;
  communicators[0]->all_reduce(&x, 1, DType::f64, "loss");
  communicators[1].reset();
  CHECK_THROWS_AS(communicators[0]->release_to(Stream{}), CollectiveAborted);
  CHECK_THROWS_AS(communicators[0]->barrier("later"), CollectiveAborted);
}

TEST_CASE("abort ends everybody's waits with the reason's kind, once and for all") {
  auto communicators = make_thread_communicators(3);
  std::vector<std::thread> threads;
  std::vector<std::string> messages(3);
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        communicators[static_cast<size_t>(rank)]->barrier("never");
      } catch (const CollectiveAborted& error) {
        if (error.kind() == ErrorKind::diverged) messages[static_cast<size_t>(rank)] = error.what();
      }
    });
  }
  communicators[2]->abort(Error(ErrorKind::diverged, "the loss is not finite"));
  communicators[2]->abort(Error(ErrorKind::data, "too late"));
  for (std::thread& thread : threads) thread.join();
  for (int rank = 0; rank < 2; ++rank) {
    CHECK(contains(messages[static_cast<size_t>(rank)], "the loss is not finite"));
    CHECK(contains(messages[static_cast<size_t>(rank)], "barrier 'never'"));
  }
  CHECK_THROWS_AS(communicators[2]->barrier("after"), CollectiveAborted);
}

TEST_CASE("a fake link carries one collective after another, each in the time that a ring takes") {
  FakeLink link{.bytes_per_second = 800, .latency_s = 0.5, .clocks = {}};
  for (int rank = 0; rank < 2; ++rank) link.clocks.push_back(std::make_shared<ManualClock>());
  on_threads(make_thread_communicators(2, link), [&](Communicator& c) {
    ManualClock& clock = *link.clocks[static_cast<size_t>(c.rank())];
    std::vector<double> first(100, 1), second(200, 1);
    c.set_tracing(true);
    clock.advance(1 + c.rank());  // replica 1 is ready a second later
    c.all_reduce(first.data(), 100, DType::f64, "first");
    c.all_reduce(second.data(), 200, DType::f64, "second");
    clock.advance(0.25);
    c.release_to(Stream{});
    const std::vector<CollectiveTrace> trace = c.take_trace();
    REQUIRE(trace.size() == 2);
    CHECK(trace[0].ready == 1 + c.rank());
    CHECK(trace[0].bytes == 800);
    CHECK(trace[0].started == 2);
    CHECK(trace[0].finished == 3.5);  // half a second, and 2 (n - 1) / n of 800 bytes at 800 a second
    CHECK(trace[1].started == 3.5);
    CHECK(trace[1].finished == 6);
    CHECK(trace[0].needed == 1.25 + c.rank());
    CHECK(clock.now() == 6);
    CHECK(c.take_trace().empty());
  });
}

TEST_CASE("more replicas than a group can have are refused") {
  CHECK(contains(error_of(ErrorKind::usage, [] { make_thread_communicators(17); }), "expected 1 to 16"));
}
