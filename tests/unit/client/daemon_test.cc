#include "client/daemon.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/support/temp_dir.h"

namespace seer::client {
namespace {

TEST(Daemon, APidFileMeansThatVeryProcess) {
  testing::TempDir dir;
  const auto write = [&](const std::string& text) {
    std::ofstream(dir / "x.pid") << text;
    return RunningPid(dir / "x.pid");
  };
  const int me = getpid();
  EXPECT_EQ(write(absl::StrCat(me, " ", StartTime(me), "\n")), me);
  EXPECT_EQ(write(absl::StrCat(me, " 12345\n")), 0) << "the pid was given to another one since";
  EXPECT_EQ(write(absl::StrCat(me, "\n")), 0);
  EXPECT_EQ(write(""), 0);
  EXPECT_EQ(write("1 0"), 0) << "never init";
  EXPECT_EQ(write("-1 0"), 0) << "never everybody";
  EXPECT_EQ(write("garbage and more"), 0);
  EXPECT_EQ(RunningPid(dir / "absent.pid"), 0);
}

TEST(Daemon, AZombieDoesNotRun) {
  testing::TempDir dir;
  const pid_t pid = fork();
  if (pid == 0) {
    pause();
    _exit(0);
  }
  std::ofstream(dir / "x.pid") << pid << " " << StartTime(pid);
  EXPECT_EQ(RunningPid(dir / "x.pid"), pid);
  kill(pid, SIGKILL);
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(RunningPid(dir / "x.pid"), 0);
  waitpid(pid, nullptr, 0);
  EXPECT_EQ(StartTime(pid), "");
}

TEST(Daemon, LastLinesOfALog) {
  testing::TempDir dir;
  std::ofstream(dir / "log") << "one\ntwo\n\nthree\n";
  EXPECT_EQ(LastLines(dir / "log", 2), "two\n  three");
  EXPECT_EQ(LastLines(dir / "log", 9), "one\n  two\n  three");
  EXPECT_EQ(LastLines(dir / "absent", 2), "");
}

}  // namespace
}  // namespace seer::client
