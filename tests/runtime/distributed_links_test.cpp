// The check before the first step: it passes where links work, and says where they do not.
#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/distributed/link_check.h"
#include "runtime/distributed/replica_group.h"
#include "tests/support/forgetful_communicator.h"
#include "tests/support/replicas.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using test::contains;
using test::error_of;

TEST_CASE("links are proved by sums of known numbers, and measured") {
  constexpr double promised = 50e6;
  ReplicaGroup group(2);
  const auto meeting = meet_by_threads(2, "gradients", {.bytes_per_second = promised, .latency_s = 0, .clocks = {}});
  group.run(
      [&](int rank) {
        const auto device = make_cpu_device();
        const auto communicator = group.connect(rank, meeting, *device);
        const LinkReport report = check_links(*communicator, group.host(rank), *device, 100000);
        CHECK(report.bytes == 100000);
        CHECK(report.devices == std::vector<std::string>{"cpu", "cpu"});
        CHECK(report.bytes_per_second() > 0);
        CHECK(report.bytes_per_second() <= promised * 1.001);  // nothing is faster than the link
        CHECK(contains(report.text(), "2 replicas (cpu, cpu) over threads: sums of 0.1 MiB are right"));
      },
      30);
}

TEST_CASE("a deadline of one run ends a check in which a replica does not come") {
  ReplicaGroup group(2, {.timeout_s = 1000});
  const auto meeting = meet_by_threads(2, "gradients");
  const std::string message = error_of(ErrorKind::hang, [&] {
    group.run(
        [&](int rank) {
          if (rank == 1) return;
          const auto device = make_cpu_device();
          const auto communicator = group.connect(rank, meeting, *device);
          check_links(*communicator, group.host(rank), *device, 1000);
        },
        0.2);
  });
  CHECK(contains(message, "replica 1 did not arrive within 0.2 s (host)"));
  CHECK(contains(message, "'names of devices'"));
}

TEST_CASE("a wrong sum is found, with the replica that has it") {
  const std::string message = error_of(ErrorKind::runtime, [] {
    ReplicaGroup group(3);
    const auto meeting = meet_by_threads(3, "gradients");
    group.run([&](int rank) {
      const auto device = make_cpu_device();
      const auto communicator = group.connect(rank, meeting, *device);
      test::ForgetfulCommunicator forgetful(*communicator, rank == 2 ? "all_reduce of known numbers" : "");
      check_links(forgetful, group.host(rank), *device, 4096);
    });
  });
  CHECK(contains(message, "the sum over 3 replicas is wrong on replica 2 (cpu): element 0 is 2, expected 3"));
}
