#include "tests/e2e/network.h"

#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "tests/e2e/cluster.h"

namespace seer::e2e {

std::string Network::Make(int machines) {
  if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0)
    return absl::StrCat("no network namespace of its own: ", std::strerror(errno));
  mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);  // in a chroot "/" may be no mount
  std::error_code error;
  std::filesystem::create_directories("/run/netns", error);
  if (mount("tmpfs", "/run/netns", "tmpfs", 0, "size=64k") != 0)
    return absl::StrCat("cannot mount a tmpfs: ", std::strerror(errno));
  std::string commands =
      absl::StrCat("ip link set lo up && ip link add bridge0 type bridge && ip addr add ",
                   HostAddress(), "/24 dev bridge0 && ip link set bridge0 up");
  for (int i = 0; i < machines; ++i) {
    absl::StrAppend(
        &commands, absl::Substitute(
                       " && ip netns add machine$0 && ip link add link$0 type veth peer name eth0 "
                       "netns machine$0 && ip link set link$0 master bridge0 && ip link set link$0 "
                       "up && ip -n machine$0 addr add $1/24 dev eth0 && ip -n machine$0 link set "
                       "eth0 up && ip -n machine$0 link set lo up",
                       i, Address(i)));
  }
  const Result made = Shell(commands);
  return made.code == 0 ? "" : absl::StrCat("no network of namespaces: ", made.out);
}

std::string Network::Address(int machine) { return absl::StrCat("10.9.0.", 10 + machine); }

std::vector<std::string> Network::Inside(int machine) {
  return {"ip", "netns", "exec", absl::StrCat("machine", machine)};
}

void Network::SetLink(int machine, bool up) {
  const Result set = Shell(absl::StrCat("ip link set link", machine, up ? " up" : " down"));
  EXPECT_EQ(set.code, 0) << set.out;
}

}  // namespace seer::e2e
