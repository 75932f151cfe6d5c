#include "tests/support/postgres_server.h"

#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace seer::testing {
namespace {

namespace fs = std::filesystem;

// The newest version that is installed; Debian keeps its programs out of PATH.
std::string Bin() {
  std::string newest;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", none)) {
    const std::string bin = entry.path() / "bin";
    if (fs::exists(bin + "/initdb") && bin > newest) newest = bin;
  }
  return newest;
}

// Becomes the user "postgres" if this process is root, and `arguments`. `log`: for what it says.
pid_t Spawn(std::vector<std::string> arguments, const std::string& log) {
  const passwd* const user = ::geteuid() == 0 ? ::getpwnam("postgres") : nullptr;
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  if (user != nullptr && (::setgid(user->pw_gid) != 0 || ::setuid(user->pw_uid) != 0)) ::_exit(126);
  ::prctl(PR_SET_PDEATHSIG, SIGQUIT);  // nothing outlives a test that crashed
  ::setenv("LC_ALL", "C.UTF-8", 1);
  if (::freopen(log.c_str(), "a", stdout) == nullptr) ::_exit(126);
  ::dup2(STDOUT_FILENO, STDERR_FILENO);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

}  // namespace

std::string PostgresServer::Missing() {
  if (Bin().empty()) return "no PostgreSQL server is installed (apt install postgresql)";
  if (::geteuid() == 0 && ::getpwnam("postgres") == nullptr) return "there is no user postgres";
  return "";
}

PostgresServer& PostgresServer::Shared() {
  static PostgresServer server;  // ended at exit
  return server;
}

PostgresServer::PostgresServer(const std::string& parent) {
  std::string pattern = (fs::path(parent) / "seer-pg-XXXXXX").string();
  SEER_CHECK(mkdtemp(pattern.data()) != nullptr) << "cannot make " << pattern;
  dir_ = pattern;
  if (const passwd* user = ::geteuid() == 0 ? ::getpwnam("postgres") : nullptr) {
    SEER_CHECK(::chown(dir_.c_str(), user->pw_uid, user->pw_gid) == 0) << "cannot give " << dir_;
  }
  int status = 0;
  const pid_t initdb = Spawn({Bin() + "/initdb", "--pgdata", dir_ + "/data", "--username=postgres",
                              "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust"},
                             dir_ + "/log");
  ::waitpid(initdb, &status, 0);
  SEER_CHECK(status == 0) << "initdb failed; see " << dir_ << "/log";
  std::ofstream(dir_ + "/data/pg_hba.conf") << "local all postgres trust\n"
                                            << "local all all scram-sha-256\n";
  Start();
}

PostgresServer::~PostgresServer() {
  Kill();
  std::error_code ignored;
  fs::remove_all(dir_, ignored);
}

void PostgresServer::Start() {
  pid_ =
      Spawn({Bin() + "/postgres", "-D", dir_ + "/data", "-k", dir_, "-c", "listen_addresses=", "-c",
             "fsync=off", "-c", "shared_buffers=16MB", "-c", "dynamic_shared_memory_type=mmap"},
            dir_ + "/log");
  const std::string url = Url("postgres");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (PQping(url.c_str()) != PQPING_OK) {
    SEER_CHECK(std::chrono::steady_clock::now() < deadline &&
               ::waitpid(pid_, nullptr, WNOHANG) == 0)
        << "PostgreSQL does not start; see " << dir_ << "/log";
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void PostgresServer::Kill() {
  ::kill(pid_, SIGCONT);
  ::kill(pid_, SIGQUIT);
  ::waitpid(pid_, nullptr, 0);
}

void PostgresServer::Signal(int signal) const { ::kill(pid_, signal); }

std::string PostgresServer::Url(const std::string& name, const std::string& user,
                                const std::string& password) const {
  return absl::StrCat("postgresql://", user, password.empty() ? "" : ":", password, "@/", name,
                      "?host=", dir_);
}

std::string PostgresServer::NewDatabase() {
  const std::string name = absl::StrCat("test_", ++databases_);
  Sql(Url("postgres"), "CREATE DATABASE " + name);
  return Url(name);
}

std::string PostgresServer::Sql(const std::string& url, const std::string& sql) const {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(url.c_str()), PQfinish);
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection.get(), sql.c_str()),
                                                             PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  SEER_CHECK(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
      << sql << ": " << PQerrorMessage(connection.get());
  std::string rows;
  for (int i = 0; i < PQntuples(result.get()); ++i)
    absl::StrAppend(&rows, i == 0 ? "" : "\n", PQgetvalue(result.get(), i, 0));
  return rows;
}

}  // namespace seer::testing
