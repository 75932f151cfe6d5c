// deploy/quickstart with Ctrl-C at its stages: exit code 130, no process is left, the job can go
// on.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/terminal.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;

class QuickstartTest : public ::testing::Test {
 protected:
  // The programs are those under test: `cmake` is one that builds nothing, or never ends.
  std::unique_ptr<Terminal> Start(const std::string& cmake) {
    const fs::path bin = files_.path() / "bin";
    fs::create_directories(bin);
    std::ofstream(bin / "cmake") << "#!/bin/sh\n" << cmake << "\n";
    fs::permissions(bin / "cmake", fs::perms::owner_all);
    std::error_code ignored;
    fs::create_directories(files_ / "build");
    fs::create_directory_symlink(Bin(), files_ / "build/bin", ignored);
    auto environment = own_.environment();
    environment["PATH"] = absl::StrCat(bin.string(), ":", std::getenv("PATH"));
    environment["SEER_BUILD_DIR"] = files_ / "build";
    environment["SEER_DEPS"] = SEER_DEPS;
    return std::make_unique<Terminal>(
        std::vector<std::string>{(Source() / "deploy/quickstart").string(), "--steps", "5000"},
        environment);
  }
  void Interrupt(Terminal& quickstart) {
    quickstart.CtrlC();
    EXPECT_EQ(quickstart.Wait(), 130) << quickstart.text();
    EXPECT_TRUE(ProcessesWith(own_.home().string()).empty());
    EXPECT_TRUE(ProcessesWith(files_.path().string()).empty());
  }
  testing::TempDir files_;
  Cluster own_;
};

TEST_F(QuickstartTest, InterruptedWhileItBuildsOrStartsItLeavesNothing) {
  // Once the build runs: bash may lose a signal between the fork of a command and its start.
  const auto building = Start("echo building >/dev/tty; exec sleep 1000");
  ASSERT_TRUE(building->Expect("building")) << building->text();
  Interrupt(*building);
  const auto starting = Start("exit 0");
  ASSERT_TRUE(starting->Expect("started dataservice-0")) << starting->text();
  Interrupt(*starting);
}

TEST_F(QuickstartTest, InterruptedWhileItTrainsTheJobIsPausedAndGoesOnLater) {
  const auto training = Start("exit 0");
  ASSERT_TRUE(training->Expect("step ", 120)) << training->text();
  Interrupt(*training);
  const std::string& text = training->text();
  const size_t at = text.find("seer job resume job_");
  ASSERT_NE(at, std::string::npos) << text;
  const std::string job = text.substr(at + 16, 12);
  ASSERT_EQ(own_.Up("--workers 2").code, 0);
  EXPECT_EQ(own_.State(job), "JOB_STATE_PAUSED") << own_.Seer("job events " + job).out;
  const int64_t step = own_.Step(job);
  EXPECT_GT(step, 0);
  ASSERT_EQ(own_.Seer("job resume " + job).code, 0);
  WaitFor([&] { return own_.Step(job) > step; });
}

}  // namespace
}  // namespace seer::e2e
