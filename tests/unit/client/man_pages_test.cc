// The manual has a page for every command, which groff renders without a warning.
#include "client/man_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "client/cli.h"
#include "tests/support/temp_dir.h"

namespace seer::client {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ManPagesTest : public ::testing::Test {
 protected:
  ManPagesTest() {
    BuildCommandTree(app_, session_);
    for (auto& [name, text] : ManPages(app_)) pages_.emplace(name, text);
  }
  Session session_;
  CLI::App app_;
  std::map<std::string, std::string> pages_;
};

TEST_F(ManPagesTest, EveryCommandHasAPage) {
  for (const char* name : {"seer.1", "seer-job.1", "seer-job-submit.1", "seer-cluster-doctor.1",
                           "seer-pool-takedown.1", "seer-ps.1"})
    EXPECT_TRUE(pages_.contains(name)) << name;
  const std::string& submit = pages_["seer-job-submit.1"];
  EXPECT_THAT(submit, HasSubstr("\\fBseer job submit\\fR"));
  EXPECT_THAT(submit, HasSubstr("\\-\\-follow\\fR"));
  EXPECT_THAT(submit, HasSubstr(".SH NOTES\n"));
  EXPECT_THAT(submit, HasSubstr("\\fBseer\\-job\\fR(1)"));
  EXPECT_THAT(pages_["seer.1"], HasSubstr("\\fBseer\\-job\\fR(1)"));
}

TEST_F(ManPagesTest, AreRenderedWithoutAWarning) {
  if (std::system("command -v groff > /dev/null") != 0) GTEST_SKIP() << "groff is not installed";
  const testing::TempDir dir;
  std::string files;
  for (const auto& [name, text] : pages_) {
    std::ofstream(dir / name) << text;
    absl::StrAppend(&files, " ", dir / name);
  }
  const std::string command =
      absl::StrCat("groff -man -Tutf8 -ww -z", files, " > ", dir / "said", " 2>&1");
  EXPECT_EQ(std::system(command.c_str()), 0);
  std::stringstream said;
  said << std::ifstream(dir / "said").rdbuf();
  EXPECT_THAT(said.str(), IsEmpty());
}

}  // namespace
}  // namespace seer::client
