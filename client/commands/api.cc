#include "client/commands/api.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "client/cli.h"
#include "client/exit_code.h"
#include "common/api/api_files.h"
#include "common/base/error.h"

namespace seer::client {
namespace {

int PrintDescriptor() {
  if (IsTerminal(STDOUT_FILENO)) {
    return Fail(Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                      "a descriptor set is binary, and this is a terminal")
                    .Hint("write it to a file: seer api descriptor > seer.protoset"));
  }
  std::cout << Protoset();
  return kExitOk;
}

}  // namespace

void AddApiCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("api", "The API for other tools");
  noun->require_subcommand(1);
  noun->footer("Example:\n  seer api descriptor > seer.protoset");
  CLI::App* descriptor = noun->add_subcommand(
      "descriptor", "Print the gRPC API as a FileDescriptorSet, for grpcurl and code generators");
  descriptor->footer("Example:\n  seer api descriptor > seer.protoset");
  descriptor->callback([&session] { session.exit_code = PrintDescriptor(); });
  CLI::App* openapi =
      noun->add_subcommand("openapi", "Print the HTTP API as an OpenAPI 3 document");
  openapi->footer("Example:\n  seer api openapi > openapi.json");
  openapi->callback([] { std::cout << OpenApi(); });
}

}  // namespace seer::client
