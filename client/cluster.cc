#include "client/cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
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
constexpr auto kPoll =
    std::chrono::milliseconds(20);  // of files and processes that nobody can be told about

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Field 22 of /proc/PID/stat: when the process began. With the pid it names a process for good. "":
// no such process, or a zombie.
std::string StartTime(int pid) {
  const std::string stat = ReadAll(absl::StrCat("/proc/", pid, "/stat"));
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return "";
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(name_end + 2), ' ');
  return fields.size() > 19 && fields[0] != "Z" ? fields[19] : "";
}

// The pid in a pid file "PID START", if that very process runs; 0 otherwise.
int RunningPid(const fs::path& pid_file) {
  const std::vector<std::string> parts =
      absl::StrSplit(ReadAll(pid_file), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  int pid = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &pid) || pid <= 1) return 0;
  return StartTime(pid) == parts[1] ? pid : 0;
}

std::string LastLines(const fs::path& log, size_t count) {
  std::vector<std::string> lines = absl::StrSplit(ReadAll(log), '\n', absl::SkipEmpty());
  if (lines.size() > count)
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  return absl::StrJoin(lines, "\n  ");
}

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
                                        const std::vector<std::string>& command) {
  const fs::path run = fs::path(dir_) / "run", log = fs::path(dir_) / "logs" / (name + ".log"),
                 pid_file = run / (name + ".pid");
  if (RunningPid(pid_file) != 0) return absl::OkStatus();
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
  SEER_RETURN_IF_ERROR(
      WriteFileAtomically(pid_file.string(), absl::StrCat(pid, " ", StartTime(pid))));
  const absl::Duration deadline = Clock::Real().Steady() + kStartLimit;
  while (!fs::exists(run / (name + ".ports"))) {
    int status = 0;
    const bool exited = ::waitpid(pid, &status, WNOHANG) == pid;
    if (exited || Clock::Real().Steady() > deadline) {
      fs::remove(pid_file, ignored);
      return Error(absl::StatusCode::kInternal, reason::kInternal,
                   absl::StrCat(name, exited ? " did not start" : " does not serve",
                                "; the last lines of ", log.string(), ":\n  ", LastLines(log, 5)))
          .Hint("mend what the log says, then `seer cluster up` again");
    }
    std::this_thread::sleep_for(kPoll);
  }
  Note(absl::StrCat("started ", name, " (pid ", pid, ")"));
  return absl::OkStatus();
}

absl::StatusOr<std::string> LocalCluster::Ports(const std::string& name) const {
  const std::string text = ReadAll(fs::path(dir_) / "run" / (name + ".ports"));
  std::string port = text.substr(0, text.find(' '));
  if (port.empty())
    return Error(absl::StatusCode::kUnavailable, reason::kClusterNotRunning,
                 absl::StrCat(name, " does not run"));
  return port;
}

std::string LocalCluster::ListenAddress(const std::string& name) const {
  const std::string port(
      absl::StripAsciiWhitespace(ReadAll(fs::path(dir_) / "run" / (name + ".port"))));
  return absl::StrCat("127.0.0.1:", port.empty() ? "0" : port);
}

absl::StatusOr<Context> LocalCluster::Up() {
  std::error_code error;
  for (const char* part : {"run", "logs", "pools", "storage"})
    fs::create_directories(fs::path(dir_) / part, error);
  if (error)
    return Error(absl::StatusCode::kPermissionDenied, reason::kStorageFailed,
                 absl::StrCat("cannot make folders below ", dir_, ": ", error.message()))
        .Hint("choose another folder with --dir");
  const int lock =
      ::open((fs::path(dir_) / "run/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ::flock(lock, LOCK_EX);  // let go when this process ends
  const fs::path bin = fs::read_symlink("/proc/self/exe", error).parent_path();
  const auto ports_file = [&](const std::string& name) {
    return (fs::path(dir_) / "run" / (name + ".ports")).string();
  };
  Context context{"local", "", {}};
  std::vector<std::string> coordinator = {(bin / "seer-coordinator").string(),
                                          "--listen",
                                          ListenAddress("coordinator"),
                                          "--database",
                                          dir_ + "/coordinator.db",
                                          "--storage",
                                          "file://" + dir_ + "/storage",
                                          "--port-file",
                                          ports_file("coordinator")};
  for (int i = 0; i < options_.dataservices; ++i) {
    const std::string name = absl::StrCat("dataservice-", i);
    SEER_RETURN_IF_ERROR(StartProcess(
        name, {(bin / "seer-dataservice").string(), "--listen", ListenAddress(name), "--pools",
               "file://" + dir_ + "/pools", "--port-file", ports_file(name)}));
    SEER_ASSIGN_OR_RETURN(const std::string port, Ports(name));
    SEER_RETURN_IF_ERROR(WriteFileAtomically(dir_ + "/run/" + name + ".port", port));
    context.dataservice.push_back("127.0.0.1:" + port);
    coordinator.insert(coordinator.end(), {"--dataservice", context.dataservice.back()});
  }
  SEER_RETURN_IF_ERROR(StartProcess("coordinator", coordinator));
  SEER_ASSIGN_OR_RETURN(const std::string port, Ports("coordinator"));
  SEER_RETURN_IF_ERROR(WriteFileAtomically(dir_ + "/run/coordinator.port", port));
  context.coordinator = "127.0.0.1:" + port;
  for (int i = 0; i < options_.workers; ++i) {
    const std::string name = absl::StrCat("worker-", i);
    SEER_RETURN_IF_ERROR(StartProcess(
        name,
        {(bin / "seer-worker").string(), "--coordinator", context.coordinator, "--name", name,
         "--devices", "1", "--work-dir", dir_ + "/run/" + name, "--port-file", ports_file(name)}));
  }
  SEER_RETURN_IF_ERROR(SaveContext(context));
  return context;
}

absl::Status LocalCluster::Down() {
  // Workers first: their trainers write a checkpoint, which the coordinator must commit.
  std::vector<ClusterProcess> processes = Status();
  std::stable_sort(processes.begin(), processes.end(),
                   [](const auto& a, const auto& b) { return a.name > b.name; });
  for (const char* wave : {"worker", "coordinator", "dataservice"}) {
    const auto waved = [&](const ClusterProcess& process) {
      return process.running && process.name.rfind(wave, 0) == 0;
    };
    for (const auto& process : processes)
      if (waved(process)) ::kill(process.pid, SIGTERM);
    const absl::Duration deadline = Clock::Real().Steady() + kStopLimit + absl::Seconds(2);
    for (const auto& process : processes) {
      if (!waved(process)) continue;
      const fs::path pid_file = fs::path(dir_) / "run" / (process.name + ".pid");
      while (RunningPid(pid_file) != 0 && Clock::Real().Steady() < deadline)
        std::this_thread::sleep_for(kPoll);
      const bool killed = RunningPid(pid_file) != 0;
      if (killed) ::kill(process.pid, SIGKILL);
      std::error_code ignored;
      fs::remove(pid_file, ignored);
      fs::remove(fs::path(dir_) / "run" / (process.name + ".ports"), ignored);
      Note(absl::StrCat(killed ? "killed " : "stopped ", process.name));
    }
  }
  return absl::OkStatus();
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
    process.ports = std::string(
        absl::StripAsciiWhitespace(ReadAll(fs::path(dir_) / "run" / (process.name + ".ports"))));
    process.log = (fs::path(dir_) / "logs" / (process.name + ".log")).string();
    processes.push_back(std::move(process));
  }
  std::sort(processes.begin(), processes.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return processes;
}

}  // namespace seer::client
