#include "client/confirm.h"

#include <poll.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/output.h"
#include "common/base/error.h"

namespace seer::client {

absl::Status Confirm(const std::string& what, bool yes, const Interrupt& interrupt,
                     DryRun dry_run) {
  if (yes) return absl::OkStatus();
  if (!IsTerminal(STDIN_FILENO) || !IsTerminal(STDERR_FILENO)) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("would ", what, ", but there is no terminal to ask on"))
        .Hint(absl::StrCat(
            "say --yes, if that is meant",
            dry_run == DryRun::kOffered ? "; --dry-run only shows what would be done" : ""));
  }
  std::fprintf(stderr, "%s? [y/N] ", what.c_str());
  std::fflush(stderr);
  pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {interrupt.fd(), POLLIN, 0}};
  ::poll(fds, 2, -1);
  if (fds[1].revents != 0) {
    Note("");
    return absl::CancelledError("interrupted; nothing was changed");
  }
  char line[16] = "";  // a terminal gives a line at a time
  const ssize_t got = ::read(STDIN_FILENO, line, sizeof(line) - 1);
  const std::string answer = absl::AsciiStrToLower(
      absl::StripAsciiWhitespace(std::string(line, got > 0 ? static_cast<size_t>(got) : 0)));
  if (answer == "y" || answer == "yes") return absl::OkStatus();
  return absl::FailedPreconditionError("not confirmed; nothing was changed");
}

}  // namespace seer::client
