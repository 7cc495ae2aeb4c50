#include "runtime/file/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bev {

namespace {

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

}  // namespace

MappedFile MappedFile::open(const std::string& path, ErrorKind kind) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.number < 0) fail(kind, "{}: cannot be opened: {}", path, std::strerror(errno));
  struct stat status = {};
  if (::fstat(file.number, &status) != 0) fail(kind, "{}: cannot be examined: {}", path, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail(kind, "{}: is not a regular file", path);
  const size_t size = static_cast<size_t>(status.st_size);
  if (size == 0) return {};
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number, 0);
  if (memory == MAP_FAILED) fail(kind, "{}: cannot be mapped into memory: {}", path, std::strerror(errno));
  return {.memory = std::shared_ptr<const std::byte>(static_cast<const std::byte*>(memory),
                                                     [memory, size](const std::byte*) { ::munmap(memory, size); }),
          .size = size};
}

}  // namespace bev
