// A PostgreSQL server of the test's own in a temporary folder, on a Unix socket there, ended with
// this object. It refuses to run as root: then it runs as the user "postgres".
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

namespace seer::testing {

class PostgresServer {
 public:
  // Why there can be none on this machine, for GTEST_SKIP; empty: there can.
  static std::string Missing();
  // One for all tests of the program.
  static PostgresServer& Shared();

  // Its folder is made in `parent`.
  explicit PostgresServer(const std::string& parent = std::filesystem::temp_directory_path());
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;

  // "postgresql://postgres@/NAME?host=..."; another user logs in with a password.
  std::string Url(const std::string& name, const std::string& user = "postgres",
                  const std::string& password = "") const;
  // Makes an empty database of a new name and returns its URL.
  std::string NewDatabase();
  // Runs `sql` in the database of `url` and returns the first column of what it gives, a row a
  // line.
  std::string Sql(const std::string& url, const std::string& sql) const;

  void Start();
  void Kill();                    // as if its machine had lost power; Start() recovers
  void Signal(int signal) const;  // of the server's main process

 private:
  std::string dir_;
  pid_t pid_ = -1;
  int databases_ = 0;
};

}  // namespace seer::testing
