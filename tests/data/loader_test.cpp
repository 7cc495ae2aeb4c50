// Loaders: the right samples in the right order for any number of replicas and threads, memory that stays while it is
// in use, errors that arrive, and an end without a thread left.
#include "data/loader.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <set>
#include <thread>

#include "runtime/file/safetensors.h"
#include "tests/data/example_dataset.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using namespace bev::test;

namespace {

struct Set {
  explicit Set(const ExampleDataset& example = {}) {
    example.write(folder.file("d"));
    data = Dataset::open(folder.file("d"));
  }
  TemporaryFolder folder;
  std::shared_ptr<const Dataset> data;
};

BatchQueueOptions options(int threads, int64_t batch_size = 1, int64_t ahead = 2) {
  return {.batch_size = batch_size, .ahead = ahead, .pool = std::make_shared<WorkerPool>(threads)};
}

/// Whether the batch holds the values of the samples that it names.
bool is_right(const Batch& batch) {
  for (int64_t b = 0; b < batch.size; ++b) {
    const int64_t sample = batch.samples[static_cast<size_t>(b)];
    const auto expected = sample < 0 ? std::vector<float>(56) : ExampleDataset::floats(1, sample, 56);
    if (std::memcmp(batch.at("ego_status").data<float>() + b * 56, expected.data(), 56 * 4) != 0) return false;
  }
  return true;
}

/// The samples of steps `first` .. `last - 1`: those of a micro-step, of all replicas, one behind another.
std::vector<int64_t> deal(const Set& set, int64_t first, int64_t last, int replicas, int64_t accumulation, int threads,
                          int64_t global_batch) {
  const Share whole{
      .replicas = replicas, .micro_batch = global_batch / replicas / accumulation, .accumulation = accumulation};
  const Sampler sampler(set.data->size(), global_batch, {.seed = 3});
  std::vector<std::vector<int64_t>> of_micro_step(static_cast<size_t>((last - first) * accumulation));
  for (int replica = 0; replica < replicas; ++replica) {
    Share share = whole;
    share.replica = replica;
    Loader loader(set.data, sampler, share, options(threads));
    if (first > 0) loader.seek(first);
    for (auto& samples : of_micro_step) {
      const Batch& batch = loader.next();
      CHECK(batch.size == share.micro_batch);
      CHECK(is_right(batch));
      samples.insert(samples.end(), batch.samples.begin(), batch.samples.end());
    }
  }
  std::vector<int64_t> all;
  for (const auto& samples : of_micro_step) all.insert(all.end(), samples.begin(), samples.end());
  return all;
}

}  // namespace

TEST_CASE("loader: the same samples in the same places for any replicas, accumulation, threads and starting point") {
  const Set set;
  const auto expected = deal(set, 0, 8, 1, 1, 0, 6);  // 23 samples: 3 steps an epoch
  const std::set<int64_t> first_epoch(expected.begin(), expected.begin() + 18);
  CHECK(first_epoch.size() == 18);
  for (const int threads : {0, 1, 3}) {
    CHECK(deal(set, 0, 8, 1, 1, threads, 6) == expected);
    CHECK(deal(set, 0, 8, 2, 1, threads, 6) == expected);
    CHECK(deal(set, 0, 8, 3, 2, threads, 6) == expected);
    CHECK(deal(set, 0, 8, 1, 6, threads, 6) == expected);
    CHECK(deal(set, 5, 8, 2, 3, threads, 6) == std::vector<int64_t>(expected.begin() + 30, expected.end()));
  }
}

TEST_CASE("loader: a batch stays until the call after the next one, also over a seek") {
  const Set set;
  const Sampler sampler(set.data->size(), 4, {.seed = 1});
  Loader loader(set.data, sampler, {.micro_batch = 4}, options(2));
  const Batch* previous = &loader.next();
  std::vector<int64_t> samples = previous->samples;
  const auto keep = [&](const Batch& batch) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the threads work ahead meanwhile
    CHECK(previous != &batch);
    CHECK(is_right(*previous));
    CHECK(previous->samples == samples);
    previous = &batch;
    samples = batch.samples;
  };
  for (int i = 0; i < 20; ++i) keep(loader.next());
  loader.seek(2);
  CHECK(is_right(*previous));
  keep(loader.next());
  CHECK(previous->samples[0] == sampler.sample(2, 0));
  for (int i = 0; i < 20; ++i) {
    loader.seek(i);
    keep(loader.next());
    CHECK(previous->samples[3] == sampler.sample(i, 3));
  }
}

TEST_CASE("loader: memory is what the allocator gives, and a bounded number of batches of it") {
  const Set set;
  int64_t batches = 0;
  BatchQueueOptions counted = options(2, 1, 3);
  std::atomic<int64_t> bytes = 0;
  counted.allocate = [&](size_t size) {
    bytes += static_cast<int64_t>(size);
    return plain_host_memory()(size);
  };
  const Sampler sampler(set.data->size(), 5, {});
  Loader loader(set.data, sampler, {.micro_batch = 5}, counted);
  const int64_t sample_bytes = (4 * 14 + 6 * 2 + 4 * 5 * 6) * 4 + 3 * 8 * 2;
  CHECK(bytes == 5 * sample_bytes * 5);  // three ahead and two in use
  std::set<const void*> addresses;
  for (; batches < 40; ++batches) addresses.insert(loader.next().at("ego_status").raw());
  CHECK(bytes == 5 * sample_bytes * 5);
  CHECK(addresses.size() == 5);
}

TEST_CASE("loader: damage arrives with the batch it is in, until a seek") {
  const Set set;
  const std::string path = set.data->directory() + "/samples-00001.safetensors";
  std::string bytes = read_file(path);
  const float bad[1] = {std::numeric_limits<float>::quiet_NaN()};
  const auto* const entry = SafetensorsFile::open(path).find("agent_pos");
  REQUIRE(entry != nullptr);
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  const int64_t damaged = rows_a_shard(set.data->info().sample_fields, 2000);  // the first sample of that shard
  const size_t begin = SafetensorsFile::open(path).find("agent_pos")->begin;
  std::memcpy(bytes.data() + 8 + header + begin, bad, 4);
  const TemporaryFolder other;
  std::filesystem::copy(set.data->directory(), other.file("d"));
  write_file(other.file("d/samples-00001.safetensors"), bytes);
  const auto data = Dataset::open(other.file("d"));

  for (const int threads : {0, 2}) {
    const Sampler sampler(data->size(), 2, {.shuffle = false});
    Loader loader(data, sampler, {.micro_batch = 2}, options(threads));
    for (int64_t step = 0; step < damaged / 2; ++step) CHECK(is_right(loader.next()));
    for (int i = 0; i < 2; ++i) {
      const std::string message = error_of(ErrorKind::data, [&] { loader.next(); });
      CHECK(contains(message, "samples-00001"));
      CHECK(contains(message, fmt::format("sample {} ", damaged)));
      CHECK(contains(message, "agent_pos"));
    }
    loader.seek(damaged / 2 + 1);
    CHECK(is_right(loader.next()));
  }
}

TEST_CASE("loader: a shard that is cut off while batches are made arrives as an error") {
  for (const int threads : {0, 2}) {
    const Set set;
    const Sampler sampler(set.data->size(), 2, {.shuffle = false});
    Loader loader(set.data, sampler, {.micro_batch = 2}, options(threads));
    CHECK(is_right(loader.next()));
    const std::string path = set.data->directory() + "/" + shard_name(Table::samples, 2);
    std::filesystem::resize_file(path, 1000);
    const std::string message = error_of(ErrorKind::data, [&] {
      for (int64_t step = 1; step < loader.steps_an_epoch(); ++step) loader.next();
    });
    CHECK_MESSAGE(contains(message, path + ": has 1000 bytes, expected "), message);
  }
}

TEST_CASE("loader: several replicas on threads of their own share a pool, and leave in the middle") {
  const Set set;
  const auto pool = std::make_shared<WorkerPool>(3);
  const Sampler sampler(set.data->size(), 8, {.seed = 2});
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> replicas;
    for (int replica = 0; replica < 4; ++replica) {
      replicas.emplace_back([&, replica] {
        Loader loader(set.data, sampler, {.replica = replica, .replicas = 4, .micro_batch = 2}, {.pool = pool});
        for (int64_t step = 0; step < 50; ++step) {
          const Batch& batch = loader.next();
          wrong += !is_right(batch) || batch.samples[1] != sampler.sample(step, replica * 2 + 1);
          if (step % 17 == replica) loader.seek(step + 1);
        }
        wrong += loader.take_waiting_seconds() < 0;
      });
    }
  }
  CHECK(wrong == 0);
  for (int i = 0; i < 20; ++i) {  // gone at once after it began
    Loader loader(set.data, sampler, {.micro_batch = 8}, {.ahead = 4, .pool = pool});
    loader.seek(i);
  }
}

TEST_CASE("loader: waiting is measured, and nothing waits where batches are ready") {
  const Set set;
  const Sampler sampler(set.data->size(), 4, {});
  Loader loader(set.data, sampler, {.micro_batch = 4}, options(0));
  loader.next();
  CHECK(loader.take_waiting_seconds() > 0);
  CHECK(loader.take_waiting_seconds() == 0);
}

TEST_CASE("loader: what cannot work is refused") {
  const Set set;
  const Sampler sampler(set.data->size(), 4, {});
  CHECK(contains(error_of(ErrorKind::runtime, [&] { Loader(set.data, sampler, {.micro_batch = 2}, options(1)); }),
                 "global batches of 4, but the replicas share 2"));
  CHECK(contains(error_of(ErrorKind::usage, [&] { Loader(set.data, sampler, {.micro_batch = 4}, options(1, 1, 0)); }),
                 "prefetch_factor"));
}

TEST_CASE("validation: every sample once, for any number of replicas, as often as asked") {
  const Set set;
  const auto samples = samples_to_validate(*set.data);
  CHECK(samples.size() == 23);
  for (const int replicas : {1, 2, 3, 8, 30}) {
    for (const int threads : {0, 2}) {
      std::vector<int64_t> seen;
      for (int replica = 0; replica < replicas; ++replica) {
        ValidationLoader loader(set.data, samples, replica, replicas, options(threads, 4));
        CHECK(std::abs(loader.samples() - 23 / replicas) <= 1);
        for (int pass = 0; pass < 2; ++pass) {
          int64_t count = 0;
          const size_t before = seen.size();
          while (const Batch* batch = loader.next()) {
            CHECK(batch->size == 4);
            CHECK(is_right(*batch));
            for (const int64_t sample : batch->samples) {
              if (sample < 0) continue;
              seen.push_back(sample);
              ++count;
            }
          }
          CHECK(loader.next() == nullptr);
          CHECK(count == loader.samples());
          if (pass == 0) seen.resize(before);
          loader.restart();
        }
      }
      CHECK(seen == samples);
    }
  }
}

TEST_CASE("validation: a part of the set, evenly spread") {
  const Set set;
  CHECK(samples_to_validate(*set.data, 4) == std::vector<int64_t>{0, 5, 11, 17});
  CHECK(samples_to_validate(*set.data, 100).size() == 23);
}
