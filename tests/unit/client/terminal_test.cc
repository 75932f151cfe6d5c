// What needs a terminal: questions before destructive verbs, the progress bar, NO_COLOR.
#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "absl/strings/match.h"
#include "client/confirm.h"
#include "client/exit_code.h"
#include "client/output.h"
#include "client/progress.h"

namespace seer::client {
namespace {

struct Session {
  int code = -1;  // of the child; -1: it did not exit by itself
  std::string text;
};

// Runs `body` in a child whose stdin, stdout and stderr are a terminal of 80 columns. `keys` are
// typed once `cue` is seen there.
Session OnTerminal(const std::function<int()>& body, const std::string& cue = "",
                   const std::string& keys = "") {
  winsize size{};
  size.ws_row = 24;
  size.ws_col = 80;
  int master = -1;
  const pid_t pid = forkpty(&master, nullptr, nullptr, &size);
  if (pid == 0) ::_exit(body());
  Session session;
  bool typed = keys.empty();
  char buffer[1024];
  for (ssize_t got; (got = ::read(master, buffer, sizeof(buffer))) > 0;) {  // EIO: all closed it
    session.text.append(buffer, static_cast<size_t>(got));
    if (typed || !absl::StrContains(session.text, cue)) continue;
    typed = true;
    EXPECT_EQ(::write(master, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  ::close(master);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFEXITED(status)) session.code = WEXITSTATUS(status);
  return session;
}

int Ask() {
  Interrupt interrupt;
  return Fail(Confirm("cancel job job_ab12cd34", false, interrupt));
}

TEST(Confirm, AsksOnATerminal) {
  const Session yes = OnTerminal(Ask, "[y/N]", "y\n");
  EXPECT_EQ(yes.code, kExitOk) << yes.text;
  EXPECT_TRUE(absl::StrContains(yes.text, "cancel job job_ab12cd34? [y/N]")) << yes.text;
  EXPECT_EQ(OnTerminal(Ask, "[y/N]", "YES\n").code, kExitOk);
}

TEST(Confirm, EverythingElseIsNo) {
  for (const char* answer : {"n\n", "\n", "yikes\n", "\x04"}) {
    const Session no = OnTerminal(Ask, "[y/N]", answer);
    EXPECT_EQ(no.code, kExitError) << answer;
    EXPECT_TRUE(absl::StrContains(no.text, "nothing was changed")) << no.text;
  }
}

TEST(Confirm, CtrlCIsNoToo) {
  const Session interrupted = OnTerminal(Ask, "[y/N]", "\x03");
  EXPECT_EQ(interrupted.code, kExitInterrupted) << interrupted.text;
  EXPECT_TRUE(absl::StrContains(interrupted.text, "nothing was changed")) << interrupted.text;
}

TEST(Confirm, YesDoesNotAsk) {
  const Session session = OnTerminal([] {
    Interrupt interrupt;
    return Fail(Confirm("cancel", true, interrupt)) == 0 ? 0 : 1;
  });
  EXPECT_FALSE(absl::StrContains(session.text, "[y/N]")) << session.text;
}

int Draw() {
  ProgressView view;
  v1::Job job;
  job.set_name("jobs/job_ab12cd34");
  job.set_state(v1::JOB_STATE_RUNNING);
  for (int step = 1; step <= 3; ++step) {
    job.mutable_progress()->set_step(step);
    job.mutable_progress()->set_total_steps(3);
    view.Show(job);
  }
  view.Message("the coordinator is away");
  view.Show(job);
  view.Done();
  return 0;
}

TEST(ProgressView, OnATerminalOneLineIsDrawnAnewAndNotesStandAbove) {
  unsetenv("NO_COLOR");
  const Session session = OnTerminal(Draw);
  EXPECT_EQ(session.code, 0);
  EXPECT_TRUE(absl::StrContains(session.text, "\r\033[K")) << session.text;
  EXPECT_TRUE(absl::StrContains(session.text, "\033[36mRUNNING\033[0m")) << session.text;
  EXPECT_TRUE(absl::StrContains(session.text, "\r\033[Kthe coordinator is away\r\n"));
  EXPECT_EQ(std::count(session.text.begin(), session.text.end(), '\n'), 2) << session.text;
}

TEST(ProgressView, HonoursNoColorIfItIsNotEmpty) {
  setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(absl::StrContains(OnTerminal(Draw).text, "\033[36m"));
  setenv("NO_COLOR", "", 1);  // no-color.org: present and not an empty string
  EXPECT_TRUE(absl::StrContains(OnTerminal(Draw).text, "\033[36m"));
  unsetenv("NO_COLOR");
}

}  // namespace
}  // namespace seer::client
