// What the process would say if it died of something: done in a child.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

namespace bev::fake_gpu {

/// What body() writes to stderr before it ends its process; "" where it does not. Nothing of CUDA may have been called
/// before in this process, whose streams' threads the child would not have.
template <class Body>
std::string last_words(const Body& body) {
  std::array<int, 2> ends = {};
  if (pipe(ends.data()) != 0) return "";
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    signal(SIGABRT, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    body();
    _exit(0);
  }
  close(ends[1]);
  std::string out;
  std::array<char, 256> some;
  for (ssize_t n = 0; (n = read(ends[0], some.data(), some.size())) > 0;) out.append(some.data(), static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? out : "";
}

}  // namespace bev::fake_gpu
