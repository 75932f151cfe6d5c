// seer auth login, logout, whoami and audit.
#include "client/commands/auth.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/context_file.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "common/base/clock.h"
#include "common/base/duration.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/flags/number.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/access.grpc.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

constexpr char kCoordinator[] = "the coordinator";

const v1::AuditEntry& As(const Message& m) { return static_cast<const v1::AuditEntry&>(m); }

std::string GrantText(const v1::Grant& grant) {
  std::string text = grant.role();
  if (!grant.queue().empty()) absl::StrAppend(&text, " of queue ", grant.queue());
  if (!grant.pool().empty()) absl::StrAppend(&text, " of pool ", grant.pool());
  return text;
}

absl::StatusOr<v1::Principal> WhoAmI(const Session& session,
                                     const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = v1::Access::NewStub(channel);
  v1::Principal principal;
  SEER_RETURN_IF_ERROR(session.Call(kCoordinator, [&](grpc::ClientContext& context) {
    return FromGrpc(stub->Authenticate(&context, v1::AuthenticateRequest(), &principal));
  }));
  return principal;
}

void Print(OutputForm form, const v1::Principal& principal) {
  std::vector<std::pair<std::string, std::string>> lines = {{"Principal", principal.name()}};
  for (const v1::Grant& grant : principal.grants()) lines.emplace_back("Role", GrantText(grant));
  if (principal.grants().empty()) lines.emplace_back("Role", "none");
  if (principal.has_expire_time())
    lines.emplace_back("Expires", FormatTime(principal.expire_time()));
  PrintOne(form, principal, lines);
}

// A token from a terminal is asked for without showing it; otherwise it is stdin's first line.
absl::StatusOr<std::string> AskForToken() {
  std::string token;
  if (IsTerminal(STDIN_FILENO)) {
    const char* const typed = ::getpass("token: ");
    if (typed != nullptr) token = typed;
  } else {
    std::getline(std::cin, token);
  }
  absl::StripAsciiWhitespace(&token);
  if (!token.empty()) return token;
  return Error(absl::StatusCode::kInvalidArgument, reason::kTokenMissing, "no token was given")
      .Hint("`seer auth login --token-file FILE`, or give it on stdin");
}

// What replaces another cluster's context is said.
void Keep(Contexts& contexts, const Context& context) {
  const Context* const old = contexts.Find(context.name);
  if (old != nullptr && old->coordinator != context.coordinator)
    Note(absl::StrCat("the context '", context.name, "' was of ", old->coordinator,
                      ", which is forgotten"));
  contexts.Put(context);
  if (contexts.current == context.name) return;
  contexts.current = context.name;
  contexts.previous.clear();
}

absl::Status Login(const Session& session) {
  SEER_ASSIGN_OR_RETURN(const Contexts saved, ReadContexts());
  SEER_ASSIGN_OR_RETURN(Context context, LoginContext(session.flags, saved));
  if (!session.flags.security.token_file.empty()) {
    SEER_ASSIGN_OR_RETURN(context.security.token,
                          ReadSecretFile(session.flags.security.token_file, "token-file"));
  } else {
    SEER_ASSIGN_OR_RETURN(context.security.token, AskForToken());
  }
  context.security.token_file.clear();
  // Nothing is kept that does not work.
  SEER_ASSIGN_OR_RETURN(const auto channel,
                        SecureChannel(context, SplitAddresses(context.coordinator)));
  SEER_ASSIGN_OR_RETURN(const v1::Principal principal, WhoAmI(session, channel));
  SEER_RETURN_IF_ERROR(EditContexts([&](Contexts& contexts) {
    Keep(contexts, context);
    return absl::OkStatus();
  }));
  Note(absl::StrCat("logged in to ", context.coordinator, "; the token is in ", ConfigPath(),
                    ", context '", context.name, "'"));
  if (context.dataservice.empty())
    Note("the context has no data service, which pools need; log in with --dataservice to name it");
  Print(session.form, principal);
  return absl::OkStatus();
}

absl::Status Logout(const Session& session) {
  SEER_ASSIGN_OR_RETURN(const Contexts saved, ReadContexts());
  const std::string named = NamedContext(session.flags);
  const std::string name = named.empty() ? saved.current : named;
  if (saved.Find(name) == nullptr) return named.empty() ? absl::OkStatus() : NoContext(name, saved);
  SEER_RETURN_IF_ERROR(EditContexts([&](Contexts& contexts) {
    if (Context* const context = contexts.Find(name)) context->security.token.clear();
    return absl::OkStatus();
  }));
  Note(absl::StrCat("the token of '", name, "' is gone from ", ConfigPath(),
                    "; it is in force until it is revoked or expires"));
  return absl::OkStatus();
}

struct AuditOptions {
  std::string principal, method, resource, since;
  int limit = 100;
};

absl::Status Audit(Session& session, const AuditOptions& options) {
  v1::ListAuditEntriesRequest request;
  request.set_principal(options.principal);
  request.set_method(options.method);
  request.set_resource(options.resource);
  if (!options.since.empty()) {
    SEER_ASSIGN_OR_RETURN(const absl::Duration since,
                          ReadDurationFlag("--since", options.since, kAboveZero));
    request.mutable_after_time()->set_seconds(absl::ToUnixSeconds(Clock::Real().Now() - since));
  }
  SEER_ASSIGN_OR_RETURN(const auto channel, session.Coordinator());
  const auto stub = v1::Access::NewStub(channel);
  std::vector<v1::AuditEntry> entries;
  while (static_cast<int>(entries.size()) < options.limit) {
    v1::ListAuditEntriesResponse page;
    request.set_page_size(std::min(1000, options.limit - static_cast<int>(entries.size())));
    SEER_RETURN_IF_ERROR(session.Call(kCoordinator, [&](grpc::ClientContext& context) {
      return FromGrpc(stub->ListAuditEntries(&context, request, &page));
    }));
    entries.insert(entries.end(), page.entries().begin(), page.entries().end());
    if (page.next_page_token().empty()) break;
    request.set_page_token(page.next_page_token());
  }
  std::vector<const Message*> items;
  for (const auto& entry : entries) items.push_back(&entry);
  PrintList(session.form, items,
            {{"TIME", [](const Message& m) { return FormatTime(As(m).create_time()); }},
             {"PRINCIPAL", [](const Message& m) { return As(m).principal(); }},
             {"METHOD", [](const Message& m) { return As(m).method(); }},
             {"RESOURCE", [](const Message& m) { return As(m).resource(); }},
             {"RESULT",
              [](const Message& m) {
                return As(m).reason().empty() ? As(m).code()
                                              : absl::StrCat(As(m).code(), " ", As(m).reason());
              }},
             {"REQUEST", [](const Message& m) { return As(m).request_id(); }, /*wide=*/true},
             {"FROM", [](const Message& m) { return As(m).peer(); }, /*wide=*/true}});
  return absl::OkStatus();
}

void AddAudit(CLI::App& noun, Session& session) {
  auto options = std::make_shared<AuditOptions>();
  CLI::App* audit = noun.add_subcommand("audit", "Who changed what, newest first");
  audit->add_option("--principal", options->principal, "Only of it, as tokens/ci");
  audit->add_option("--method", options->method, "Only this one, as CancelJob");
  audit->add_option("--resource", options->resource, "Only about it, as the call named it");
  audit->add_option("--since", options->since, "Only so long ago, as 24h");
  audit->add_option("-n,--limit", options->limit, "At most so many")
      ->check(AtLeast(1))
      ->capture_default_str();
  audit->footer(
      "Examples:\n  seer auth audit --since 24h\n  seer auth audit --principal tokens/ci --method "
      "CancelJob -o json");
  audit->callback([&session, options] { session.exit_code = ExitCode(Audit(session, *options)); });
}

}  // namespace

void AddAuthCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("auth", "Say who you are, and who may do what");
  noun->require_subcommand(1);
  noun->footer(
      "Example:\n  seer auth login --coordinator head:7070 --tls-ca ca.pem --token-file "
      "my.token");
  CLI::App* login = noun->add_subcommand(
      "login", "Keep a token, and how a cluster is reached, for the commands that follow");
  login->footer(
      "The token is that of --token-file, or is asked for; the file of contexts is for your eyes "
      "alone. With --coordinator the cluster gets a context, named by --context or after the "
      "address, which holds what is said here and nothing else; without it the context has a new "
      "token.\nExamples:\n  seer auth login --coordinator head:7070 --dataservice data:7080 "
      "--tls-ca ca.pem --token-file my.token\n  seer auth login --context lab --coordinator "
      "lab:7070 --dataservice lab:7080\n  get-token | seer auth login");
  login->callback([&session] { session.exit_code = ExitCode(Login(session)); });
  CLI::App* logout = noun->add_subcommand("logout", "Forget the token of the context");
  logout->footer("Example:\n  seer auth logout");
  logout->callback([&session] { session.exit_code = ExitCode(Logout(session)); });
  CLI::App* whoami = noun->add_subcommand("whoami", "Show whom the token speaks for");
  whoami->footer("Example:\n  seer auth whoami -o json");
  whoami->callback([&session] {
    const auto channel = session.Coordinator();
    const auto principal = channel.ok() ? WhoAmI(session, *channel) : channel.status();
    if (principal.ok()) Print(session.form, *principal);
    session.exit_code = ExitCode(principal.status());
  });
  AddTokenCommands(*noun, session);
  AddAudit(*noun, session);
}

}  // namespace seer::client
