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
class ClientContext;
}  // namespace grpc

namespace seer::client {

// What every command may use. Filled while the command line is read, valid when the command runs.
struct Session {
  OutputForm form = OutputForm::kTable;
  ContextFlags flags;
  Interrupt* interrupt = nullptr;
  int exit_code = 0;     // of the command that ran
  int coordinators = 1;  // known addresses: Call waits for one of several to take over

  // To the coordinator that leads. UNAVAILABLE with SERVICE_UNREACHABLE: no address is known; says
  // how to get one.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> Coordinator();
  absl::StatusOr<std::shared_ptr<grpc::Channel>> DataService() const;
  // Runs an idempotent unary call, again while `what` is away; `deadline` is of one attempt.
  // CANCELLED: Ctrl-C came first. UNAVAILABLE with SERVICE_UNREACHABLE: `what` did not answer.
  absl::Status Call(const std::string& what,
                    const std::function<absl::Status(grpc::ClientContext&)>& call,
                    absl::Duration deadline = absl::Seconds(10)) const;
};

// To servers at these addresses, by the context's token and TLS files. Errors as
// ClientSecurity::Open and CheckTokenIsSafe.
absl::StatusOr<std::shared_ptr<grpc::Channel>> SecureChannel(
    const Context& context, const std::vector<std::string>& addresses);

void AddJobCommands(CLI::App& app, Session& session);
void AddCheckpointCommands(CLI::App& app, Session& session);
void AddPoolCommands(CLI::App& app, Session& session);
void AddWorkerCommands(CLI::App& app, Session& session);
void AddQueueCommands(CLI::App& app, Session& session);
void AddEvalCommands(CLI::App& app, Session& session);
void AddClusterCommands(CLI::App& app, Session& session);

// A new random request id.
std::string NewRequestId();

// The whole tree, with global options, footers and the verb `completion`. `session` outlives `app`.
void BuildCommandTree(CLI::App& app, Session& session);
int RunCli(int argc, const char* const* argv);

}  // namespace seer::client
