// seer man: writes the manual pages.
#include "client/commands/man.h"

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/exit_code.h"
#include "client/man_pages.h"
#include "common/base/error.h"

namespace seer::client {
namespace {

int Write(const CLI::App& app, const std::string& dir) {
  std::error_code failed;
  std::filesystem::create_directories(dir, failed);
  const auto pages = ManPages(app);
  for (const auto& [name, text] : pages) {
    const std::filesystem::path path = std::filesystem::path(dir) / name;
    if (!(std::ofstream(path) << text).flush()) {
      return Fail(Error(absl::StatusCode::kPermissionDenied, reason::kStorageFailed,
                        absl::StrCat("cannot write ", path.string(), ": ", std::strerror(errno)))
                      .Field("--dir")
                      .Hint("name a folder that you may write to"));
    }
  }
  Note(absl::StrCat(pages.size(), " pages; `man -M ", dir, "/.. seer-job-submit` shows one if ",
                    dir, " is called man1"));
  return kExitOk;
}

}  // namespace

void AddMan(CLI::App& app, Session& session) {
  auto dir = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("man", "Write manual pages of all commands into a folder");
  command->add_option("--dir", *dir, "Folder, made if it is not there")->required();
  command->footer(
      "Packages install them already.\nExample:\n  seer man --dir ~/.local/share/man/man1");
  command->callback([&app, &session, dir] { session.exit_code = Write(app, *dir); });
}

}  // namespace seer::client
