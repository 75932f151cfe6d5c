// What the verbs of `seer job` share, and where each file adds its verbs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli.h"
#include "client/exit_code.h"
#include "seer/v1/jobs.grpc.pb.h"

namespace seer::client {

std::string ShortId(const std::string& name);  // "jobs/job_ab12cd34" -> "job_ab12cd34"
std::string StateOf(const v1::Job& job);       // "RUNNING"
double GoodputOf(const v1::Job& job);  // productive over all but the queue; NaN: no such time yet
std::string StepsOf(const v1::Job& job);  // "20/400"; "-": it trains nothing

const std::vector<Column>& JobColumns();
const std::vector<Column>& TopColumns();
std::vector<std::pair<std::string, std::string>> JobDescription(const v1::Job& job);
std::string RanksCell(const v1::Job& job);  // "4"; "3/4" of an elastic gang that has fewer
// What the job's ranks do, as a table below what stands above; nothing if none says.
std::string RanksTable(const v1::Job& job, bool wide);
void PrintRanks(const v1::Job& job, bool wide);
// All jobs in one of these states, or in any, newest first.
absl::StatusOr<std::vector<v1::Job>> FetchJobs(const Session& session, v1::Jobs::Stub& stub,
                                               const std::vector<v1::JobState>& states);
// All events of the job with this full name, oldest first.
absl::StatusOr<std::vector<v1::Event>> FetchEvents(const Session& session, v1::Jobs::Stub& stub,
                                                   const std::string& name);

// Runs `body` with the full name of the one job that `text` means: an id, its beginning, or a name.
// Returns the exit code of `body`, or of the error that it prints; `not_found` if there is no such.
int WithJob(Session& session, const std::string& text,
            const std::function<int(v1::Jobs::Stub&, const std::string&)>& body,
            int not_found = kExitError);
void AddJobArgument(CLI::App& command, std::string& text);

struct FollowOptions {
  bool follow = false;
  bool wait = false;
  std::string timeout;
};
void AddFollowOptions(CLI::App& command, FollowOptions& options);
// Of --timeout: infinite if `text` is empty. INVALID_ARGUMENT: not a duration of at least 0, or one
// where nothing `waits`.
absl::StatusOr<absl::Duration> ReadTimeout(const std::string& text, bool waits = true);

void AddSubmit(CLI::App& parent, Session& session);
void AddPlan(CLI::App& parent, Session& session);
void AddList(CLI::App& parent, Session& session, const char* verb);  // "list", "ps"
void AddTop(CLI::App& parent, Session& session);
void AddDescribe(CLI::App& parent, Session& session);
void AddDiagnose(CLI::App& parent, Session& session);
void AddEvents(CLI::App& parent, Session& session);
void AddLogs(CLI::App& parent, Session& session);
void AddProfile(CLI::App& parent, Session& session);
void AddSet(CLI::App& parent, Session& session);
void AddSteering(CLI::App& parent, Session& session);  // wait, pause, resume, cancel

}  // namespace seer::client
