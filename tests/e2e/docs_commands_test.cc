// Runs the commands of pages in docs/, as a reader would type them: all blocks ```sh run of a page,
// one after another in one shell, with a home and a network of its own.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"
#include "tests/support/image_files.h"
#include "tests/support/temp_dir.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;

std::string CommandsOf(const fs::path& page) {
  std::ifstream file(page);
  std::string commands, line;
  bool inside = false;
  while (std::getline(file, line)) {
    if (absl::StartsWith(line, "```")) {
      inside = line == "```sh run";
    } else if (inside) {
      absl::StrAppend(&commands, line, "\n");
    }
  }
  return commands;
}

class DocsCommandsTest : public ::testing::TestWithParam<std::string> {};

TEST_P(DocsCommandsTest, Work) {
  const std::string commands = CommandsOf(Source() / "docs" / GetParam());
  ASSERT_NE(commands, "") << GetParam() << " has no block ```sh run";
  const testing::TempDir dir;
  testing::WriteLabelledFolder(dir / "home/Pictures", 4, 50, 16);
  std::ofstream(dir / "page.sh")
      << "set -euo pipefail\n"
      << "trap 'seer cluster down >/dev/null 2>&1 || true; kill $(jobs -p) "
         "2>/dev/null || true' EXIT\n"
      << commands;
  // Default ports: nobody else's in a network namespace.
  const std::string own_network =
      Shell("unshare --net true").code == 0
          ? "unshare --net sh -c 'ip link set lo up; exec \"$0\" \"$@\"' "
          : "";
  if (own_network.empty()) GTEST_SKIP() << "no network namespace of its own";
  const Result result = Shell(absl::StrCat(
      "cd ", dir.path().string(),
      " && env -u SEER_CONFIG -u SEER_COORDINATOR -u SEER_DATASERVICE HOME=", dir / "home",
      " SEER_HOME=", dir / "home/seer", " PATH=", Bin().string(), ":$PATH timeout 300 ",
      own_network, "bash -x page.sh"));
  EXPECT_EQ(result.code, 0) << result.out;
}

INSTANTIATE_TEST_SUITE_P(Pages, DocsCommandsTest,
                         ::testing::Values("first-cluster.md", "recovery.md"),
                         [](const auto& info) {
                           return info.param == "recovery.md" ? "Recovery" : "FirstCluster";
                         });

}  // namespace
}  // namespace seer::e2e
