#include "coordinator/maintenance.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/process.h"
#include "coordinator/store/transfer.h"

namespace seer::coordinator {
namespace {

constexpr char kDatabase[] = "Path of a SQLite file, or postgresql://USER@HOST:PORT/NAME";

// "restored 3 jobs, 12 events" on stdout, or the error on stderr.
int Report(const char* done, const absl::StatusOr<RowCounts>& counts) {
  if (!counts.ok()) return FailProgram(counts.status());
  std::vector<std::string> parts;
  for (const auto& [table, rows] : *counts) parts.push_back(absl::StrCat(rows, " ", table));
  std::printf("%s %s\n", done, absl::StrJoin(parts, ", ").c_str());
  return 0;
}

struct Names {
  std::string from, to;
};

}  // namespace

void AddMaintenance(CLI::App& app, int& exit_code) {
  app.require_subcommand(0, 1);
  const auto migrate_names = std::make_shared<Names>();
  CLI::App* const migrate = app.add_subcommand(
      "migrate", "Copy all jobs, events and checkpoint records into another, empty database");
  migrate->add_option("--from", migrate_names->from, kDatabase)->required();
  migrate->add_option("--to", migrate_names->to, kDatabase)->required();
  migrate->footer(
      "No coordinator may run on either. Logs of ranks are files: copy their folder.\n"
      "Examples:\n"
      "  seer-coordinator migrate --from state/coordinator.db --to postgresql://seer@db/seer\n"
      "  seer-coordinator migrate --from postgresql://seer@db/seer --to state/coordinator.db");
  migrate->callback([migrate_names, &exit_code] {
    exit_code = Report("copied", MigrateDatabase(migrate_names->from, migrate_names->to));
  });

  const auto backup_names = std::make_shared<Names>();
  CLI::App* const backup = app.add_subcommand(
      "backup", "Write all of a database, as it is at one moment, to a new file");
  backup->add_option("database", backup_names->from, kDatabase)->required();
  backup->add_option("file", backup_names->to, "File to write; must not exist")->required();
  backup->footer(
      "A coordinator may run meanwhile.\n"
      "Examples:\n"
      "  seer-coordinator backup state/coordinator.db backup-monday\n"
      "  seer-coordinator backup postgresql://seer@db/seer /backups/seer-$(date +%F)");
  backup->callback([backup_names, &exit_code] {
    exit_code = Report("saved", BackUpDatabase(backup_names->from, backup_names->to));
  });

  const auto restore_names = std::make_shared<Names>();
  CLI::App* const restore =
      app.add_subcommand("restore", "Read a file of `backup` into an empty database");
  restore->add_option("file", restore_names->from, "File that `backup` wrote")->required();
  restore->add_option("database", restore_names->to, kDatabase)->required();
  restore->footer(
      "Stop all workers and coordinators first: attempts that the backup does not know must not "
      "write any more.\n"
      "Examples:\n"
      "  seer-coordinator restore backup-monday state/restored.db\n"
      "  seer-coordinator restore /backups/seer-2026-01-31 postgresql://seer@db/seer");
  restore->callback([restore_names, &exit_code] {
    exit_code = Report("restored", RestoreDatabase(restore_names->from, restore_names->to));
  });
}

}  // namespace seer::coordinator
