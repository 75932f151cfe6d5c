// seer top: on a terminal the whole screen, drawn anew until 'q'; elsewhere once.
#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/job.h"
#include "client/paging.h"
#include "client/top_screen.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/workers.grpc.pb.h"

namespace seer::client {
namespace {

constexpr absl::Duration kPeriod = absl::Seconds(2);

// The terminal without echo and line editing, on its second screen; as it was at the end.
class WholeScreen {
 public:
  WholeScreen() {
    ::tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    std::cout << "\033[?1049h\033[?25l" << std::flush;
  }
  ~WholeScreen() {
    std::cout << "\033[?25h\033[?1049l" << std::flush;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  WholeScreen(const WholeScreen&) = delete;

  void Draw(const TopScreen& screen) {
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    const char* no_color = std::getenv("NO_COLOR");
    std::string text = screen.Draw(known ? size.ws_col : 80, known ? size.ws_row : 24,
                                   Clock::Real().Now(), no_color == nullptr || *no_color == 0);
    // Each line in its place, so that nothing flickers; what was longer is cleared.
    for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 5)
      text.replace(at, 1, "\033[K\r\n");
    std::cout << "\033[H" << text << "\033[K" << std::flush;
  }

 private:
  termios before_{};
};

struct Stubs {
  std::unique_ptr<v1::Jobs::Stub> jobs;
  std::unique_ptr<v1::Workers::Stub> workers;
};

const std::vector<v1::JobState>& NotEnded() {
  static const auto& states = *new std::vector<v1::JobState>{
      v1::JOB_STATE_QUEUED,  v1::JOB_STATE_STARTING, v1::JOB_STATE_RUNNING,
      v1::JOB_STATE_PAUSING, v1::JOB_STATE_PAUSED,   v1::JOB_STATE_RESTARTING};
  return states;
}

absl::Status Load(const Session& session, const Stubs& stubs, TopScreen& screen) {
  SEER_ASSIGN_OR_RETURN(auto jobs, FetchJobs(session, *stubs.jobs, NotEnded()));
  v1::ListWorkersRequest request;
  request.set_page_size(1000);
  SEER_ASSIGN_OR_RETURN(auto workers,
                        FetchPages<v1::Worker>(session, "the coordinator", *stubs.workers,
                                               &v1::Workers::Stub::ListWorkers, request,
                                               &v1::ListWorkersResponse::workers));
  v1::Job chosen;
  v1::GetJobRequest get;
  get.set_name(screen.Chosen().empty() && !jobs.empty() ? jobs.front().name() : screen.Chosen());
  const bool known = !get.name().empty() &&
                     session
                         .Call("the coordinator",
                               [&](grpc::ClientContext& context) {
                                 return FromGrpc(stubs.jobs->GetJob(&context, get, &chosen));
                               })
                         .ok();
  screen.Show(std::move(jobs), std::move(workers), known ? &chosen : nullptr);
  return absl::OkStatus();
}

// Waits for keys until the next look is due. False: to be ended.
bool HandleKeys(Session& session, TopScreen& screen, WholeScreen& terminal) {
  const absl::Duration due = Clock::Real().Steady() + kPeriod;
  while (!session.interrupt->caught()) {
    const auto left = absl::ToInt64Milliseconds(due - Clock::Real().Steady());
    if (left <= 0) return true;
    pollfd waiting[] = {{STDIN_FILENO, POLLIN, 0}, {session.interrupt->fd(), POLLIN, 0}};
    if (::poll(waiting, 2, static_cast<int>(left)) <= 0) continue;
    if (waiting[0].revents == 0) continue;
    char keys[64];
    const ssize_t got = ::read(STDIN_FILENO, keys, sizeof(keys));
    if (got <= 0 || !screen.Keys(std::string(keys, static_cast<size_t>(got)))) return false;
    terminal.Draw(screen);
  }
  return false;
}

int Watch(Session& session, const Stubs& stubs) {
  TopScreen screen;
  const absl::Status first = Load(session, stubs, screen);  // what is wrong is said as elsewhere
  if (!first.ok()) return Fail(first);
  WholeScreen terminal;
  do {
    terminal.Draw(screen);
    if (!HandleKeys(session, screen, terminal)) break;
    const absl::Status loaded = Load(session, stubs, screen);
    if (!loaded.ok())
      screen.Trouble(absl::StrCat(std::string(loaded.message()), "; it is tried again"));
  } while (!session.interrupt->caught());
  return kExitOk;
}

int Top(Session& session, bool once) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const Stubs stubs = {v1::Jobs::NewStub(*channel), v1::Workers::NewStub(*channel)};
  const bool table = session.form == OutputForm::kTable || session.form == OutputForm::kWide;
  if (!once && table && IsTerminal(STDOUT_FILENO) && IsTerminal(STDIN_FILENO))
    return Watch(session, stubs);
  const auto jobs = FetchJobs(session, *stubs.jobs, NotEnded());
  if (!jobs.ok()) return Fail(jobs.status());
  std::vector<const google::protobuf::Message*> items;
  for (const v1::Job& job : *jobs) items.push_back(&job);
  PrintList(session.form, items, TopColumns());
  return kExitOk;
}

}  // namespace

void AddTop(CLI::App& parent, Session& session) {
  auto once = std::make_shared<bool>(false);
  CLI::App* command = parent.add_subcommand(
      "top", "Watch the jobs that have not ended, their ranks and the workers");
  command->add_flag("--once", *once, "Print the jobs once, as off a terminal");
  command->footer(
      "Keys: up and down choose a job, whose ranks are shown; left and right choose the column to "
      "sort by; r turns the order; q ends.\n"
      "Examples:\n  seer top\n  seer top --once -o json");
  command->callback([&session, once] { session.exit_code = Top(session, *once); });
}

}  // namespace seer::client
