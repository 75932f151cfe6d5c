#include "client/cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/daemon.h"
#include "client/local_context.h"
#include "client/output.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/process.h"
#include "common/base/status_macros.h"

namespace seer::client {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kStartLimit = absl::Seconds(60);
constexpr absl::Duration kStopLimit = absl::Seconds(10);
constexpr absl::Duration kPoll =
    absl::Milliseconds(20);  // of files and processes that nobody can be told about

std::string DefaultDir() {
  if (const char* home = std::getenv("SEER_HOME")) return absl::StrCat(home, "/cluster");
  const char* home = std::getenv("HOME");
  return absl::StrCat(home == nullptr ? "/tmp" : home, "/.local/share/seer/cluster");
}

}  // namespace

LocalCluster::LocalCluster(const ClusterOptions& options)
    : options_(options),
      dir_(fs::absolute(options.dir.empty() ? DefaultDir() : options.dir).string()) {}

absl::Status LocalCluster::StartProcess(const std::string& name,
                                        const std::vector<std::string>& command,
                                        Interrupt& interrupt) {
  const fs::path run = fs::path(dir_) / "run", log = fs::path(dir_) / "logs" / (name + ".log"),
                 pid_file = run / (name + ".pid");
  if (RunningPid(pid_file) != 0) return absl::OkStatus();
  if (interrupt.caught()) return absl::CancelledError("interrupted");
  std::error_code ignored;
  fs::remove(run / (name + ".ports"), ignored);
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const int log_fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log_fd < 0)
    return Error(absl::StatusCode::kPermissionDenied, reason::kStorageFailed,
                 absl::StrCat("cannot write ", log.string()))
        .Hint("choose another folder with --dir");
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setsid();
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, STDIN_FILENO);
    ::dup2(log_fd, STDOUT_FILENO);
    ::dup2(log_fd, STDERR_FILENO);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(log_fd);
  if (pid < 0) return absl::InternalError("fork failed");
  started_.push_back(name);
  SEER_RETURN_IF_ERROR(
      WriteFileAtomically(pid_file.string(), absl::StrCat(pid, " ", StartTime(pid))));
  const absl::Duration deadline = Clock::Real().Steady() + kStartLimit;
  while (!fs::exists(run / (name + ".ports"))) {
    int status = 0;
    const bool exited = ::waitpid(pid, &status, WNOHANG) == pid;
    if (interrupt.caught()) return absl::CancelledError("interrupted");
    if (exited || Clock::Real().Steady() > deadline) {
      fs::remove(pid_file, ignored);
      return Error(absl::StatusCode::kInternal, reason::kInternal,
                   absl::StrCat(name, exited ? " did not start" : " does not serve",
                                "; the last lines of ", log.string(), ":\n  ", LastLines(log, 5)))
          .Hint("mend what the log says, then `seer cluster up` again");
    }
    interrupt.SleepFor(kPoll);
  }
  Note(absl::StrCat("started ", name, " (pid ", pid, ")"));
  return absl::OkStatus();
}

std::vector<std::string> LocalCluster::Ports(const std::string& name) const {
  return absl::StrSplit(ReadFile(fs::path(dir_) / "run" / (name + ".ports")),
                        absl::ByAnyChar(" \n"), absl::SkipEmpty());
}

absl::StatusOr<std::string> LocalCluster::Port(const std::string& name, size_t index) const {
  const std::vector<std::string> ports = Ports(name);
  if (ports.size() <= index)
    return Error(absl::StatusCode::kUnavailable, reason::kClusterNotRunning,
                 absl::StrCat(name, " does not run"));
  return ports[index];
}

std::string LocalCluster::Dashboard() const {
  const absl::StatusOr<std::string> port = Port("coordinator", 2);
  return port.ok() ? absl::StrCat("http://127.0.0.1:", *port, "/") : "";
}

std::string LocalCluster::ListenAddress(const std::string& name) const {
  const std::string port(
      absl::StripAsciiWhitespace(ReadFile(fs::path(dir_) / "run" / (name + ".port"))));
  return absl::StrCat("127.0.0.1:", port.empty() ? "0" : port);
}

absl::StatusOr<int> LocalCluster::Lock(Interrupt& interrupt) const {
  const std::string path = (fs::path(dir_) / "run/lock").string();
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0)
    return Error(absl::StatusCode::kPermissionDenied, reason::kStorageFailed,
                 absl::StrCat("cannot write ", path))
        .Hint("choose another folder with --dir");
  bool waited = false;
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (!waited) Note("another `seer cluster up` or `down` is at work; waiting for it");
    waited = true;
    if (interrupt.SleepFor(kPoll)) continue;
    ::close(fd);
    return absl::CancelledError("interrupted; nothing was changed");
  }
  return fd;
}

absl::StatusOr<Context> LocalCluster::Up(Interrupt& interrupt) {
  std::error_code error;
  for (const char* part : {"run", "logs", "pools", "storage"})
    if (!error) fs::create_directories(fs::path(dir_) / part, error);
  if (error)
    return Error(absl::StatusCode::kPermissionDenied, reason::kStorageFailed,
                 absl::StrCat("cannot make folders below ", dir_, ": ", error.message()))
        .Hint("choose another folder with --dir");
  SEER_ASSIGN_OR_RETURN(const int lock, Lock(interrupt));
  absl::StatusOr<Context> context = StartAll(interrupt);
  if (absl::IsCancelled(context.status())) {
    std::vector<ClusterProcess> mine = Status();
    mine.erase(std::remove_if(mine.begin(), mine.end(),
                              [&](const ClusterProcess& process) {
                                return std::count(started_.begin(), started_.end(), process.name) ==
                                       0;
                              }),
               mine.end());
    Stop(mine);
    context = absl::CancelledError(
        "interrupted; what was started is stopped again. `seer cluster up` starts it anew");
  }
  ::close(lock);
  return context;
}

absl::StatusOr<Context> LocalCluster::StartAll(Interrupt& interrupt) {
  std::error_code error;
  const fs::path bin = fs::read_symlink("/proc/self/exe", error).parent_path();
  const auto ports_file = [&](const std::string& name) {
    return (fs::path(dir_) / "run" / (name + ".ports")).string();
  };
  Context context{kLocalContext, "", {}};
  std::vector<std::string> coordinator = {
      (bin / "seer-coordinator").string(), "--listen",    ListenAddress("coordinator"), "--http",
      ListenAddress("dashboard"),          "--database",  dir_ + "/coordinator.db",     "--storage",
      "file://" + dir_ + "/storage",       "--port-file", ports_file("coordinator")};
  for (int i = 0; i < options_.dataservices; ++i) {
    const std::string name = absl::StrCat("dataservice-", i);
    SEER_RETURN_IF_ERROR(
        StartProcess(name,
                     {(bin / "seer-dataservice").string(), "--listen", ListenAddress(name),
                      "--pools", "file://" + dir_ + "/pools", "--port-file", ports_file(name)},
                     interrupt));
    SEER_ASSIGN_OR_RETURN(const std::string port, Port(name));
    SEER_RETURN_IF_ERROR(WriteFileAtomically(dir_ + "/run/" + name + ".port", port));
    context.dataservice.push_back("127.0.0.1:" + port);
    coordinator.insert(coordinator.end(), {"--dataservice", context.dataservice.back()});
  }
  SEER_RETURN_IF_ERROR(StartProcess("coordinator", coordinator, interrupt));
  SEER_ASSIGN_OR_RETURN(const std::string port, Port("coordinator"));
  SEER_RETURN_IF_ERROR(WriteFileAtomically(dir_ + "/run/coordinator.port", port));
  // One of an older version, which still runs, has none.
  if (const auto http_port = Port("coordinator", 2); http_port.ok())
    SEER_RETURN_IF_ERROR(WriteFileAtomically(dir_ + "/run/dashboard.port", *http_port));
  context.coordinator = "127.0.0.1:" + port;
  for (int i = 0; i < options_.workers; ++i) {
    const std::string name = absl::StrCat("worker-", i);
    SEER_RETURN_IF_ERROR(StartProcess(
        name,
        {(bin / "seer-worker").string(), "--coordinator", context.coordinator, "--name", name,
         "--devices", "1", "--work-dir", dir_ + "/run/" + name, "--port-file", ports_file(name)},
        interrupt));
  }
  SEER_RETURN_IF_ERROR(EnterLocalContext(context));
  return context;
}

absl::Status LocalCluster::Down(Interrupt& interrupt) {
  std::error_code error;
  if (!fs::is_directory(fs::path(dir_) / "run", error)) return absl::OkStatus();
  SEER_ASSIGN_OR_RETURN(const int lock, Lock(interrupt));
  Stop(Status());
  ::close(lock);
  return absl::OkStatus();
}

absl::Status LocalCluster::Purge() {
  const std::string coordinator = ListenAddress("coordinator");
  std::error_code error;
  fs::remove_all(dir_, error);
  if (error)
    return Error(absl::StatusCode::kPermissionDenied, reason::kStorageFailed,
                 absl::StrCat("cannot remove ", dir_, ": ", error.message()));
  return LeaveLocalContext(coordinator);
}

// Goes through with it even after a Ctrl-C: half a cluster is of no use. A second one ends it.
void LocalCluster::Stop(std::vector<ClusterProcess> processes) {
  // Workers first: their trainers write a checkpoint, which the coordinator must commit.
  std::stable_sort(processes.begin(), processes.end(),
                   [](const auto& a, const auto& b) { return a.name > b.name; });
  const auto forget = [&](const ClusterProcess& process) {
    std::error_code ignored;
    for (const char* suffix : {".pid", ".ports"})
      fs::remove(fs::path(dir_) / "run" / (process.name + suffix), ignored);
  };
  for (const auto& process : processes)
    if (!process.running) forget(process);
  for (const bool workers : {true, false}) {
    const auto waved = [&](const ClusterProcess& process) {
      return process.running && (process.name.rfind("worker", 0) == 0) == workers;
    };
    for (const auto& process : processes)
      if (waved(process)) ::kill(process.pid, SIGTERM);
    const absl::Duration deadline = Clock::Real().Steady() + kStopLimit + absl::Seconds(2);
    for (const auto& process : processes) {
      if (!waved(process)) continue;
      const fs::path pid_file = fs::path(dir_) / "run" / (process.name + ".pid");
      while (RunningPid(pid_file) != 0 && Clock::Real().Steady() < deadline) absl::SleepFor(kPoll);
      const bool killed = RunningPid(pid_file) != 0;
      if (killed) ::kill(process.pid, SIGKILL);
      forget(process);
      Note(absl::StrCat(killed ? "killed " : "stopped ", process.name));
    }
  }
}

std::vector<ClusterProcess> LocalCluster::Status() const {
  std::vector<ClusterProcess> processes;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::path(dir_) / "run", error)) {
    if (entry.path().extension() != ".pid") continue;
    ClusterProcess process;
    process.name = entry.path().stem().string();
    process.pid = RunningPid(entry.path());
    process.running = process.pid != 0;
    for (std::string& port : Ports(process.name))
      if (port != "0") process.ports.push_back(std::move(port));
    process.log = (fs::path(dir_) / "logs" / (process.name + ".log")).string();
    processes.push_back(std::move(process));
  }
  std::sort(processes.begin(), processes.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return processes;
}

}  // namespace seer::client
