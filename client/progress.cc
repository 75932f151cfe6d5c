#include "client/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "client/output.h"
#include "common/base/clock.h"

namespace seer::client {
namespace {

constexpr absl::Duration kPlainPeriod = absl::Seconds(10);

int TerminalWidth() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 100;
}

// no-color.org: present and not an empty string.
bool NoColor() {
  const char* value = std::getenv("NO_COLOR");
  return value != nullptr && value[0] != '\0';
}

std::string Bar(double share, int cells) {
  const int filled = std::clamp(static_cast<int>(share * cells), 0, cells);
  std::string bar;
  for (int i = 0; i < cells; ++i) bar += i < filled ? "#" : ".";
  return bar;
}

}  // namespace

std::string ProgressLine(const v1::Job& job, int width, bool color) {
  const auto& p = job.progress();
  const std::string id(absl::StripPrefix(job.name(), "jobs/"));
  const std::string state = EnumName(v1::JobState_Name(job.state()), "JOB_STATE_");
  std::string head = absl::StrCat(id, " ", state);
  const int64_t total = p.total_steps() > 0 ? p.total_steps() : job.spec().optim().steps();
  std::string tail;
  if (p.step() > 0) {
    const double eta =
        p.step_seconds() * static_cast<double>(std::max<int64_t>(0, total - p.step()));
    tail = absl::StrFormat("  step %d/%d  loss %.4f  %.0f images/s  stall %.1f%%  eta %s", p.step(),
                           total, p.loss(), p.images_per_second(), p.data_stall_ratio() * 100,
                           FormatSeconds(eta));
  } else if (!job.state_message().empty()) {
    tail = absl::StrCat("  ", job.state_message());
  }
  const int room = width - static_cast<int>(head.size() + tail.size()) - 4;
  if (p.step() > 0 && room >= 8 && total > 0)
    head += absl::StrCat(
        "  [",
        Bar(static_cast<double>(p.step()) / static_cast<double>(total), std::min(room - 2, 40)),
        "]");
  std::string line = (head + tail).substr(0, static_cast<size_t>(std::max(0, width)));
  if (!color) return line;
  const char* code = job.state() == v1::JOB_STATE_FAILED      ? "31"
                     : job.state() == v1::JOB_STATE_SUCCEEDED ? "32"
                     : job.state() == v1::JOB_STATE_RUNNING   ? "36"
                                                              : "33";
  const size_t at = line.find(state);
  if (at != std::string::npos)
    line = absl::StrCat(line.substr(0, at), "\033[", code, "m", state, "\033[0m",
                        line.substr(at + state.size()));
  return line;
}

ProgressView::ProgressView()
    : terminal_(IsTerminal(STDERR_FILENO)), color_(terminal_ && !NoColor()) {}

void ProgressView::Show(const v1::Job& job) {
  ShowText(v1::JobState_Name(job.state()),
           ProgressLine(job, terminal_ ? TerminalWidth() - 1 : 1000, color_));
}

void ProgressView::ShowText(const std::string& state, const std::string& text) {
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", text.c_str());
    drawn_ = true;
    return;
  }
  const absl::Duration now = Clock::Real().Steady();
  if (state == state_ && now - printed_at_ < kPlainPeriod) return;
  state_ = state;
  printed_at_ = now;
  std::fprintf(stderr, "%s\n", text.c_str());
}

void ProgressView::Message(const std::string& text) {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
  std::fprintf(stderr, "%s\n", text.c_str());
}

void ProgressView::Done() {
  if (drawn_) std::fprintf(stderr, "\n");
  drawn_ = false;
}

}  // namespace seer::client
