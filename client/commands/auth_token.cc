// seer auth token: create, list, revoke.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/commands/auth.h"
#include "client/confirm.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "common/base/clock.h"
#include "common/base/duration.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/access.grpc.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

constexpr char kCoordinator[] = "the coordinator";

const v1::Token& As(const Message& m) { return static_cast<const v1::Token&>(m); }

std::string NameOf(const v1::Token& token) {
  return std::string(absl::StripPrefix(token.name(), "tokens/"));
}
std::string BoundTo(const v1::Token& token) {
  std::string text;
  if (!token.queue().empty()) absl::StrAppend(&text, "queue ", token.queue());
  if (!token.pool().empty())
    absl::StrAppend(&text, text.empty() ? "" : ", ", "pool ", token.pool());
  return text.empty() ? "-" : text;
}
std::string StateOf(const v1::Token& token) {
  if (token.has_revoke_time()) return "REVOKED";
  return token.expire_time().seconds() <= absl::ToUnixSeconds(Clock::Real().Now()) ? "EXPIRED"
                                                                                   : "IN FORCE";
}

absl::StatusOr<v1::Token> Revoke(Session& session, v1::Access::Stub& stub,
                                 const std::string& name) {
  v1::RevokeTokenRequest request;
  request.set_name(name);
  v1::Token revoked;
  SEER_RETURN_IF_ERROR(session.Call(kCoordinator, [&](grpc::ClientContext& context) {
    return FromGrpc(stub.RevokeToken(&context, request, &revoked));
  }));
  return revoked;
}

absl::StatusOr<std::vector<v1::Token>> Fetch(Session& session, v1::Access::Stub& stub) {
  v1::ListTokensRequest request;
  return FetchPages<v1::Token>(session, kCoordinator, stub, &v1::Access::Stub::ListTokens, request,
                               &v1::ListTokensResponse::tokens);
}

struct CreateOptions {
  std::string name, role, queue, pool, expires;
};

absl::Status Create(Session& session, const CreateOptions& options) {
  v1::CreateTokenRequest request;
  v1::Token& token = *request.mutable_token();
  token.set_name(options.name);
  token.set_role(options.role);
  token.set_queue(options.queue);
  token.set_pool(options.pool);
  if (!options.expires.empty()) {
    SEER_ASSIGN_OR_RETURN(const absl::Duration life,
                          ReadDurationFlag("--expires", options.expires, kAboveZero));
    token.mutable_expire_time()->set_seconds(absl::ToUnixSeconds(Clock::Real().Now() + life));
  }
  SEER_ASSIGN_OR_RETURN(const auto channel, session.Coordinator());
  const auto stub = v1::Access::NewStub(channel);
  v1::CreateTokenResponse made;
  SEER_RETURN_IF_ERROR(session.Call(kCoordinator, [&](grpc::ClientContext& context) {
    return FromGrpc(stub->CreateToken(&context, request, &made));
  }));
  Note(absl::StrCat("token ", NameOf(made.token()), " (", made.token().role(), ", bound to ",
                    BoundTo(made.token()), ") until ", FormatTime(made.token().expire_time()),
                    "; it is shown this once:"));
  if (IsDocument(session.form)) {
    PrintOne(session.form, made, {});
  } else {
    std::cout << made.secret() << "\n";
  }
  const absl::Status written = FlushOutput();
  if (written.ok()) return written;
  // Nobody knows its secret.
  const auto revoked = Revoke(session, *stub, made.token().name());
  Note(revoked.ok() ? absl::StrCat("token ", NameOf(made.token()), " was revoked again")
                    : absl::StrCat("token ", NameOf(made.token()), " is in force: revoke it, for ",
                                   revoked.status().message()));
  return written;
}

absl::Status List(Session& session) {
  SEER_ASSIGN_OR_RETURN(const auto channel, session.Coordinator());
  const auto stub = v1::Access::NewStub(channel);
  SEER_ASSIGN_OR_RETURN(const auto tokens, Fetch(session, *stub));
  std::vector<const Message*> items;
  for (const auto& token : tokens) items.push_back(&token);
  PrintList(session.form, items,
            {{"NAME", [](const Message& m) { return NameOf(As(m)); }},
             {"ROLE", [](const Message& m) { return As(m).role(); }},
             {"BOUND TO", [](const Message& m) { return BoundTo(As(m)); }},
             {"STATE", [](const Message& m) { return StateOf(As(m)); }},
             {"EXPIRES", [](const Message& m) { return FormatTime(As(m).expire_time()); }},
             {"MADE BY", [](const Message& m) { return As(m).creator(); }, /*wide=*/true},
             {"MADE", [](const Message& m) { return FormatTime(As(m).create_time()); },
              /*wide=*/true}});
  return absl::OkStatus();
}

absl::Status Revoke(Session& session, const std::string& name, bool yes) {
  SEER_ASSIGN_OR_RETURN(const auto channel, session.Coordinator());
  const auto stub = v1::Access::NewStub(channel);
  if (!yes) {
    SEER_ASSIGN_OR_RETURN(const auto tokens, Fetch(session, *stub));
    const bool there = std::any_of(tokens.begin(), tokens.end(), [&](const v1::Token& token) {
      return NameOf(token) == absl::StripPrefix(name, "tokens/");
    });
    // Of a name that there is not, the coordinator says so.
    if (there)
      SEER_RETURN_IF_ERROR(Confirm(absl::StrCat("revoke token ", name), yes, *session.interrupt));
  }
  SEER_ASSIGN_OR_RETURN(const v1::Token revoked, Revoke(session, *stub, name));
  PrintOne(session.form, revoked,
           {{"Token", NameOf(revoked)}, {"Revoked", FormatTime(revoked.revoke_time())}});
  return absl::OkStatus();
}

}  // namespace

void AddTokenCommands(CLI::App& auth, Session& session) {
  CLI::App* noun = auth.add_subcommand("token", "Make tokens, and take them back");
  noun->require_subcommand(1);
  noun->footer("Example:\n  seer auth token create ci --role submitter --queue vision");

  auto options = std::make_shared<CreateOptions>();
  CLI::App* create = noun->add_subcommand("create", "Make a token; its secret is shown this once");
  create->add_option("name", options->name, "1 to 63 of a-z, 0-9 and '-'")->required();
  create
      ->add_option("--role", options->role,
                   "viewer, submitter, operator or admin; worker for agents")
      ->required();
  create->add_option("--queue", options->queue, "Good for this queue alone");
  create->add_option("--pool", options->pool, "Good for this pool alone");
  create->add_option("--expires", options->expires, "How long it is good, as 12h or 90d [90d]");
  create->footer(
      "Examples:\n  seer auth token create ci --role submitter --queue vision --expires 30d > "
      "ci.token\n  seer auth token create agents --role worker --expires 365d > worker.token");
  create->callback(
      [&session, options] { session.exit_code = ExitCode(Create(session, *options)); });

  CLI::App* list = noun->add_subcommand("list", "List tokens, also those that are over");
  list->footer("Example:\n  seer auth token list");
  list->callback([&session] { session.exit_code = ExitCode(List(session)); });

  auto name = std::make_shared<std::string>();
  auto yes = std::make_shared<bool>(false);
  CLI::App* revoke = noun->add_subcommand("revoke", "Refuse a token from now on");
  revoke->add_option("name", *name, "Of the token")->required();
  revoke->add_flag("-y,--yes", *yes, "Do not ask");
  revoke->footer("Example:\n  seer auth token revoke ci --yes");
  revoke->callback(
      [&session, name, yes] { session.exit_code = ExitCode(Revoke(session, *name, *yes)); });
}

}  // namespace seer::client
