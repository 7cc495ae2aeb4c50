#include "runtime/distributed/link_check.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace bev {

namespace {

constexpr int rounds = 4;  // the first one connects

/// Whole numbers, so that any order of summation gives the same.
float number(int rank, int64_t i) { return static_cast<float>(rank + i % 1021); }

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// One text a replica.
std::vector<std::string> gather_texts(Communicator& host, const std::string& own) {
  constexpr size_t width = 64;
  std::vector<char> mine(width, '\0'), all(width * static_cast<size_t>(host.size()));
  std::memcpy(mine.data(), own.data(), std::min(width - 1, own.size()));
  host.all_gather(mine.data(), all.data(), static_cast<int64_t>(width), DType::u8, "names of devices");
  host.release_to(Stream{});
  std::vector<std::string> out;
  for (int rank = 0; rank < host.size(); ++rank) out.emplace_back(all.data() + static_cast<size_t>(rank) * width);
  return out;
}

/// The largest that any replica has.
double largest(Communicator& host, double own) {
  std::vector<double> all(static_cast<size_t>(host.size()));
  host.all_gather(&own, all.data(), 1, DType::f64, "seconds");
  host.release_to(Stream{});
  return *std::max_element(all.begin(), all.end());
}

void check_sums(const float* sums, int64_t count, int rank, int size, const std::string& device) {
  for (int64_t i = 0; i < count; ++i) {
    const float expected = static_cast<float>(size) * number(0, i) + static_cast<float>(size * (size - 1) / 2);
    if (sums[i] == expected) continue;
    fail(ErrorKind::runtime, "the sum over {} replicas is wrong on replica {} ({}): element {} is {}, expected {}",
         size, rank, device, i, sums[i], expected);
  }
}

}  // namespace

double LinkReport::bytes_per_second() const {
  const double size = static_cast<double>(devices.size());
  return 2 * (size - 1) / size * static_cast<double>(bytes) / seconds;
}

std::string LinkReport::text() const {
  std::string names;
  for (const std::string& device : devices) names += (names.empty() ? "" : ", ") + device;
  return fmt::format("{} replicas ({}) over {}: sums of {:.1f} MiB are right; {:.2f} ms, {:.1f} GB/s each way",
                     devices.size(), names, communicator, static_cast<double>(bytes) / (1 << 20), seconds * 1e3,
                     bytes_per_second() * 1e-9);
}

LinkReport check_links(Communicator& communicator, Communicator& host, Device& device, int64_t bytes) {
  const int64_t count = std::max<int64_t>(1, bytes / static_cast<int64_t>(sizeof(float)));
  const size_t span = static_cast<size_t>(count) * sizeof(float);
  const std::shared_ptr<void> memory = device.allocate(span), staging = device.allocate_staging(span);
  const Stream stream = device.make_stream();
  auto* numbers = static_cast<float*>(staging.get());

  LinkReport report{.communicator = communicator.text(),
                    .devices = gather_texts(host, device.text()),
                    .bytes = static_cast<int64_t>(span)};
  for (int round = 0; round < rounds; ++round) {
    for (int64_t i = 0; i < count; ++i) numbers[i] = number(communicator.rank(), i);
    device.copy(stream, memory.get(), staging.get(), span);
    device.synchronize(stream);
    host.barrier("links");
    const double begin = now();
    communicator.wait_for(stream);
    communicator.all_reduce(memory.get(), count, DType::f32, "known numbers");
    communicator.release_to(stream);
    device.synchronize(stream);
    const double seconds = largest(host, now() - begin);
    report.seconds = round == 0 ? seconds : std::min(report.seconds, seconds);
    device.copy(stream, staging.get(), memory.get(), span);
    device.synchronize(stream);
    check_sums(numbers, count, communicator.rank(), communicator.size(), device.text());
  }
  return report;
}

}  // namespace bev
