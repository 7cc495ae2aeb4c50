// Files that appear whole or not at all, also when the disk is full in the middle.
#include "runtime/file/atomic_file.h"

#include <vector>

#include "runtime/file/safetensors.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using namespace bev::test;

TEST_CASE("atomic file: replaces the old file, also over a leftover of an interrupted run") {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.json");
  write_file(path + ".partial", "what an interrupted run left, longer than the new text");
  write_text_file(path, "one");
  CHECK(read_file(path) == "one");
  write_text_file(path, "two");
  CHECK(read_file(path) == "two");
  CHECK_FALSE(std::filesystem::exists(path + ".partial"));
}

TEST_CASE("atomic file: without a commit nothing has happened") {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.json");
  write_text_file(path, "old");
  {
    AtomicFile file(path);
    file.write("new", 3);
  }
  CHECK(read_file(path) == "old");
  CHECK_FALSE(std::filesystem::exists(path + ".partial"));
}

TEST_CASE("atomic file: a full disk leaves the old file and no other") {
  const TemporaryFolder folder;
  const std::string path = folder.file("model.safetensors");
  auto values = std::make_shared<std::vector<float>>(100'000, 1.0f);
  const NamedTensor weights{"w", Tensor(std::shared_ptr<void>(values, values->data()), {100'000}, DType::f32)};
  write_safetensors(path, {&weights, 1}, {});
  const std::string before = read_file(path);

  values->assign(values->size(), 2.0f);
  for (const rlim_t limit : {0, 4, 100, 4096, 300'000}) {
    const FileSizeLimit full(limit);
    const std::string message = error_of(ErrorKind::runtime, [&] { write_safetensors(path, {&weights, 1}, {}); });
    CHECK(contains(message, path));
    CHECK(contains(message, "File too large"));
    CHECK_FALSE(std::filesystem::exists(path + ".partial"));
  }
  CHECK(read_file(path) == before);
}

TEST_CASE("atomic file: a folder that is not there, and a place that a folder takes") {
  const TemporaryFolder folder;
  CHECK(contains(error_of(ErrorKind::runtime, [&] { write_text_file(folder.file("none/a"), ""); }), "No such file"));
  std::filesystem::create_directory(folder.file("taken"));
  CHECK(contains(error_of(ErrorKind::runtime, [&] { write_text_file(folder.file("taken"), "x"); }), "taken"));
  CHECK_FALSE(std::filesystem::exists(folder.file("taken.partial")));
}
