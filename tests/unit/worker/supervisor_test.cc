// Real child processes: shells that do what each test needs.
#include "worker/agent/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tests/support/temp_dir.h"

namespace seer::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kDeadline = absl::Seconds(30);

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() { Make(); }
  void Make() {
    supervisor_ =
        std::make_unique<Supervisor>(SupervisorCallbacks{[this](int64_t key, int code) {
                                                           absl::MutexLock lock(&mu_);
                                                           codes_[key] = code;
                                                         },
                                                         [this](int64_t key, std::string line) {
                                                           absl::MutexLock lock(&mu_);
                                                           lines_[key].push_back(std::move(line));
                                                         }});
  }
  void Shell(int64_t key, const std::string& script) {
    supervisor_->Start(key, {{"/bin/sh", "-c", script}});
  }
  int ExitCode(int64_t key) {
    absl::MutexLock lock(&mu_);
    const auto ended = [this, key]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return codes_.contains(key); };
    if (!mu_.AwaitWithTimeout(absl::Condition(&ended), kDeadline)) return -1;
    return codes_[key];
  }
  std::vector<std::string> Lines(int64_t key) {
    absl::MutexLock lock(&mu_);
    return lines_[key];
  }
  // The nth line, from 0.
  std::string Line(int64_t key, size_t n) {
    absl::MutexLock lock(&mu_);
    const auto there = [this, key, n]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return lines_[key].size() > n; };
    if (!mu_.AwaitWithTimeout(absl::Condition(&there), kDeadline)) return "no such line";
    return lines_[key][n];
  }
  int Pid(int64_t key, size_t n) {
    int pid = 0;
    EXPECT_TRUE(absl::SimpleAtoi(Line(key, n), &pid));
    return pid;
  }

  absl::Mutex mu_;
  std::map<int64_t, int> codes_ ABSL_GUARDED_BY(mu_);
  std::map<int64_t, std::vector<std::string>> lines_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Supervisor> supervisor_;
};

// Watches a process that is not our child; opened while it lives.
class Stranger {
 public:
  explicit Stranger(int pid) : fd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {
    EXPECT_GE(fd_, 0) << "process " << pid << " is gone already";
  }
  ~Stranger() { ::close(fd_); }
  bool Ends() const {
    pollfd ended{fd_, POLLIN, 0};
    return ::poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(kDeadline))) == 1;
  }

 private:
  const int fd_;
};

// "SigBlk:\t0000000000004000" among the lines of /proc/<pid>/status.
uint64_t StatusMask(const std::vector<std::string>& lines, absl::string_view name) {
  for (absl::string_view line : lines) {
    uint64_t mask = 0;
    if (absl::ConsumePrefix(&line, name) &&
        absl::SimpleHexAtoi(absl::StripAsciiWhitespace(line), &mask))
      return mask;
  }
  ADD_FAILURE() << "no " << name;
  return ~uint64_t{0};
}

size_t OpenFiles() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                           std::filesystem::directory_iterator()));
}

TEST_F(SupervisorTest, ExitCodesAreTheProcesses) {
  Shell(1, "exit 0");
  Shell(2, "exit 10");
  Shell(3, "exit 255");
  Shell(4, "kill -SEGV $$");
  EXPECT_EQ(ExitCode(1), 0);
  EXPECT_EQ(ExitCode(2), 10);
  EXPECT_EQ(ExitCode(3), 255);
  EXPECT_EQ(ExitCode(4), 128 + SIGSEGV);
}

TEST_F(SupervisorTest, AMissingProgramEndsWith127AndSaysSo) {
  supervisor_->Start(1, {{"/no/such/program"}});
  EXPECT_EQ(ExitCode(1), 127);
  EXPECT_THAT(Lines(1), ElementsAre(HasSubstr("cannot start")));
}

TEST_F(SupervisorTest, LinesOfBothStreamsComeBeforeTheEnd) {
  Shell(1, "echo out; echo err >&2; echo; printf partial");
  ASSERT_EQ(ExitCode(1), 0);
  EXPECT_THAT(Lines(1), ElementsAre("out", "err", "", "partial"));
}

TEST_F(SupervisorTest, ManyLinesArriveInOrder) {
  Shell(1, "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
  ASSERT_EQ(ExitCode(1), 0);
  const auto lines = Lines(1);
  ASSERT_EQ(lines.size(), 20000u);
  for (size_t i = 0; i < lines.size(); ++i) ASSERT_EQ(lines[i], absl::StrCat("line ", i));
}

TEST_F(SupervisorTest, LongLinesAreCutAndNothingIsAdded) {
  const size_t most = Supervisor::kMaxLineBytes;
  Shell(1, absl::StrCat("head -c ", 2 * most + 5, " /dev/zero | tr '\\0' x; echo; head -c ", most,
                        " /dev/zero | tr '\\0' y; echo; echo; echo end"));
  ASSERT_EQ(ExitCode(1), 0);
  EXPECT_THAT(Lines(1), ElementsAre(std::string(most, 'x'), std::string(most, 'x'), "xxxxx",
                                    std::string(most, 'y'), "", "end"));
}

TEST_F(SupervisorTest, ASignalReachesTheWholeGroup) {
  Shell(1, "sleep 1000 & echo $!; wait");
  const Stranger grandchild(Pid(1, 0));
  supervisor_->Signal(1, SIGTERM);
  EXPECT_EQ(ExitCode(1), 128 + SIGTERM);
  EXPECT_TRUE(grandchild.Ends());
}

TEST_F(SupervisorTest, WhatAChildLeavesBehindIsKilledAndDoesNotHoldItsEndBack) {
  Shell(1, "trap 'exit 3' TERM; sh -c \"trap '' TERM; echo \\$\\$; exec sleep 1000\" & wait");
  const Stranger grandchild(Pid(1, 0));
  supervisor_->Signal(1, SIGTERM);
  EXPECT_EQ(ExitCode(1), 3);
  EXPECT_TRUE(grandchild.Ends()) << "though it holds the pipe open";
}

TEST_F(SupervisorTest, ASignalToWhatHasEndedDoesNothing) {
  Shell(1, "exit 0");
  ASSERT_EQ(ExitCode(1), 0);
  supervisor_->Signal(1, SIGKILL);
  supervisor_->Signal(99, SIGKILL);
  Shell(2, "exit 4");
  EXPECT_EQ(ExitCode(2), 4);
}

TEST_F(SupervisorTest, AKeyMayComeAgain) {
  for (int i = 0; i < 3; ++i) {
    {
      absl::MutexLock lock(&mu_);
      codes_.clear();
    }
    Shell(1, absl::StrCat("exit ", i));
    EXPECT_EQ(ExitCode(1), i);
  }
}

TEST_F(SupervisorTest, ChildrenDieWithTheSupervisorAndAreReported) {
  Shell(1, "trap '' TERM; sleep 1000 & echo $!; echo $$; wait; sleep 1000");
  const Stranger grandchild(Pid(1, 0)), child(Pid(1, 1));
  supervisor_.reset();
  EXPECT_TRUE(grandchild.Ends());
  EXPECT_TRUE(child.Ends());
  EXPECT_EQ(ExitCode(1), 128 + SIGKILL);
}

TEST_F(SupervisorTest, LeavesNoZombiesAndNoOpenFiles) {
  Shell(1, "exit 0");
  ASSERT_EQ(ExitCode(1), 0);
  const size_t before = OpenFiles();
  for (int i = 2; i < 40; ++i) Shell(i, "echo x; exit 1");
  supervisor_->Start(40, {{"/no/such/program"}});
  for (int i = 2; i <= 40; ++i) ASSERT_GT(ExitCode(i), 0);
  EXPECT_EQ(OpenFiles(), before);
  supervisor_.reset();
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST_F(SupervisorTest, AChildHasNoFilesButItsThree) {
  testing::TempDir dir;
  const std::string path = dir / "secret";
  FILE* const file = std::fopen(path.c_str(), "w");  // no O_CLOEXEC
  ASSERT_NE(file, nullptr);
  Shell(1, "ls /proc/$$/fd; cat");
  EXPECT_EQ(ExitCode(1), 0) << "stdin is empty";
  std::fclose(file);
  EXPECT_THAT(Lines(1), ElementsAre("0", "1", "2"));
}

// A pause that comes while the trainer's libraries are being loaded.
TEST_F(SupervisorTest, SigtermBeforeTheProgramIsReadyWaitsForIt) {
  ::signal(SIGPIPE, SIG_IGN);
  supervisor_->Start(1, {{"/bin/cat", "/proc/self/status"}, /*hold_sigterm=*/true});
  supervisor_->Signal(1, SIGTERM);
  EXPECT_EQ(ExitCode(1), 0) << "SIGTERM killed it";
  supervisor_->Start(2, {{"/bin/sh", "-c", "sleep 1000"}});
  supervisor_->Signal(2, SIGTERM);
  EXPECT_EQ(ExitCode(2), 128 + SIGTERM);
  EXPECT_EQ(StatusMask(Lines(1), "SigBlk:"), 1u << (SIGTERM - 1)) << "and nothing else";
  EXPECT_EQ(StatusMask(Lines(1), "SigIgn:") & 1u << (SIGPIPE - 1), 0u) << "which the agent ignores";
}

// A machine that is out of processes or files fails the rank, not the agent.
TEST_F(SupervisorTest, APipeThatCannotBeMadeEndsTheRankNotTheAgent) {
  Shell(1, "echo up; sleep 1000");
  ASSERT_NE(Line(1, 0), "no such line");
  rlimit before{}, tight{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  tight = before;
  tight.rlim_cur = 3;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  Shell(2, "exit 0");
  const int code = ExitCode(2);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(code, 127);
  EXPECT_THAT(Lines(2), ElementsAre(HasSubstr("Too many open files")));
  Shell(3, "exit 5");
  EXPECT_EQ(ExitCode(3), 5);
}

// Killed with SIGKILL, an agent cannot clean up: its ranks must not outlive it.
TEST(SupervisorDeathTest, ChildrenDieWithAnAgentThatIsKilled) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t agent = ::fork();
  if (agent == 0) {
    ::close(ready[0]);
    Supervisor supervisor({[](int64_t, int) {},
                           [&](int64_t, std::string line) {
                             line += "\n";
                             (void)!::write(ready[1], line.data(), line.size());
                           }});
    supervisor.Start(1, {{"/bin/sh", "-c", "echo $$; exec sleep 1000"}});
    while (true) ::pause();
  }
  ASSERT_GT(agent, 0);
  ::close(ready[1]);
  char text[32] = "";
  ASSERT_GT(::read(ready[0], text, sizeof(text) - 1), 0);
  int pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(absl::string_view(text, strcspn(text, "\n")), &pid));
  const Stranger child(pid);
  ::kill(agent, SIGKILL);
  EXPECT_EQ(::waitpid(agent, nullptr, 0), agent);
  EXPECT_TRUE(child.Ends());
  ::close(ready[0]);
}

}  // namespace
}  // namespace seer::worker
