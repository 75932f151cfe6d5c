#include "tests/e2e/mounts.h"

#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"

namespace seer::e2e {

std::string OwnMounts() {
  // In a chroot "/" may be no mount that can be made private; then none may be shared to begin
  // with.
  if (unshare(CLONE_NEWNS) == 0 &&
      (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 ||
       !absl::StrContains(ReadAll("/proc/self/mountinfo"), " shared:")))
    return "";
  return absl::StrCat("no mount namespace of its own: ", std::strerror(errno));
}

}  // namespace seer::e2e
