#include "runtime/file/random_access_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bev {

class RandomAccessFile::Handle {
 public:
  explicit Handle(const std::string& path)
      : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), reason_(number_ < 0 ? errno : 0) {}
  ~Handle() {
    if (number_ >= 0) ::close(number_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  int number() const { return number_; }  // negative where it could not be opened
  const char* reason() const { return std::strerror(reason_); }

 private:
  int number_, reason_;
};

namespace {

struct stat status_of(int descriptor, const std::string& path) {
  struct stat status = {};
  if (::fstat(descriptor, &status) != 0) {
    fail(ErrorKind::data, "{}: cannot be examined: {}", path, std::strerror(errno));
  }
  return status;
}

}  // namespace

RandomAccessFile RandomAccessFile::open(const std::string& path, Descriptor descriptor) {
  RandomAccessFile file;
  file.path_ = path;
  auto handle = std::make_shared<const Handle>(path);
  if (handle->number() < 0) fail(ErrorKind::data, "{}: cannot be opened: {}", path, handle->reason());
  const struct stat status = status_of(handle->number(), path);
  if (!S_ISREG(status.st_mode)) fail(ErrorKind::data, "{}: is not a regular file", path);
  file.size_ = static_cast<uint64_t>(status.st_size);
  file.device_ = status.st_dev;
  file.inode_ = status.st_ino;
  if (descriptor == Descriptor::held) file.held_ = std::move(handle);
  return file;
}

std::shared_ptr<const RandomAccessFile::Handle> RandomAccessFile::handle() const {
  return held_ ? held_ : std::make_shared<const Handle>(path_);
}

void RandomAccessFile::read(uint64_t offset, void* to, size_t bytes) const {
  const auto handle = this->handle();
  if (handle->number() < 0) fail(ErrorKind::data, "{}: cannot be opened any more: {}", path_, handle->reason());
  if (!held_) {
    const struct stat now = status_of(handle->number(), path_);
    if (now.st_dev != device_ || now.st_ino != inode_) {
      fail(ErrorKind::data, "{}: is another file than when it was opened: replaced while in use", path_);
    }
  }
  auto* out = static_cast<std::byte*>(to);
  while (bytes > 0) {
    const ssize_t got = ::pread(handle->number(), out, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(ErrorKind::data, "{}: cannot be read at byte {}: {}", path_, offset, std::strerror(errno));
    if (got == 0) {
      fail(ErrorKind::data, "{}: has {} bytes, expected {} as when it was opened: truncated while in use", path_,
           status_of(handle->number(), path_).st_size, size_);
    }
    out += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
}

void RandomAccessFile::will_need(uint64_t offset, size_t bytes) const {
  const auto handle = this->handle();
  if (handle->number() < 0) return;
  ::posix_fadvise(handle->number(), static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
}

}  // namespace bev
