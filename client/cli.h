// The command tree of `seer`. Each commands/<noun>.cc adds its noun.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/context.h"
#include "client/interrupt.h"
#include "client/output.h"

namespace CLI {
class App;
}
namespace grpc {
class Channel;
}

namespace seer::client {

// What every command may use. Filled while the command line is read, valid when the command runs.
struct Session {
  OutputForm form = OutputForm::kTable;
  std::string coordinator_flag;
  std::vector<std::string> dataservice_flag;
  Interrupt* interrupt = nullptr;
  int exit_code = 0;  // of the command that ran

  // UNAVAILABLE with SERVICE_UNREACHABLE: no address is known; says how to get one.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> Coordinator() const;
  absl::StatusOr<std::shared_ptr<grpc::Channel>> DataService() const;
};

void AddJobCommands(CLI::App& app, Session& session);
void AddCheckpointCommands(CLI::App& app, Session& session);
void AddPoolCommands(CLI::App& app, Session& session);
void AddWorkerCommands(CLI::App& app, Session& session);
void AddEvalCommands(CLI::App& app, Session& session);
void AddClusterCommands(CLI::App& app, Session& session);

// A new random request id.
std::string NewRequestId();

int RunCli(int argc, char** argv);

}  // namespace seer::client
