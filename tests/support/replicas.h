// Replicas in a test: a thread each with its communicator, the first exception rethrown when all are joined; and the
// number of threads of this process, to see that none stays.
#pragma once

#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/distributed/communicator.h"

namespace bev::test {

/// Calls body(communicator) on a thread for each. The first exception aborts the group, so that all end.
inline void on_threads(std::vector<std::unique_ptr<Communicator>> communicators,
                       const std::function<void(Communicator&)>& body) {
  std::mutex mutex;
  std::exception_ptr first;
  std::vector<std::thread> threads;
  for (auto& communicator : communicators) {
    threads.emplace_back([&] {
      try {
        body(*communicator);
      } catch (...) {
        {
          const std::lock_guard lock(mutex);
          if (!first) first = std::current_exception();
        }
        communicator->abort(Error(ErrorKind::runtime, "another replica of the test failed"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  communicators.clear();
  if (first) std::rethrow_exception(first);
}

inline void on_threads(int count, const std::function<void(Communicator&)>& body) {
  on_threads(make_thread_communicators(count), body);
}

inline int threads_of_this_process() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

/// Whether the process comes down to that many threads. Joined threads, and those of OpenMP behind them, may need a
/// moment to leave the system's list.
inline bool settles_at(int threads) {
  for (int i = 0; i < 1000; ++i) {
    if (threads_of_this_process() <= threads) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

}  // namespace bev::test
