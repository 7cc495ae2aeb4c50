// What bev_data inspect says of a data set.
#include "data/inspect.h"

#include "tests/data/example_dataset.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using namespace bev::test;

TEST_CASE("inspect: a data set is described") {
  const TemporaryFolder folder;
  ExampleDataset example;
  example.write(folder.file("set/val"));
  CHECK(contains(error_of(ErrorKind::data, [&] { splits_of(folder.file("")); }), "holds no data set"));
  CHECK(splits_of(folder.file("set/val")) == std::vector<std::string>{folder.file("set/val")});
  REQUIRE(splits_of(folder.file("set")) == std::vector<std::string>{folder.file("set/val")});
  example.write(folder.file("set/train"));
  CHECK(splits_of(folder.file("set")) == std::vector<std::string>{folder.file("set/train"), folder.file("set/val")});

  const std::string text = describe(*Dataset::open(folder.file("set/val")));
  for (const char* part : {"23 samples of 5 routes", "12 frames (each used 7.7 times)", "gen_vit_tokens",
                           "BF16  [3, 8]", "ego_status[13]", "agent_pos[1]", "made by: a test"}) {
    CHECK_MESSAGE(contains(text, part), text);
  }
}
