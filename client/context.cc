#include "client/context.h"

#include <cstdlib>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "client/context_fields.h"
#include "client/context_file.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"

namespace seer::client {
namespace {

constexpr size_t kMaxName = 63;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// What the environment says, over `context`.
void AddEnvironment(Context& context) {
  if (const std::string value = Environment("SEER_COORDINATOR"); !value.empty())
    context.coordinator = value;
  if (const std::string value = Environment("SEER_DATASERVICE"); !value.empty())
    context.dataservice = SplitAddresses(value);
  for (const auto& [key, value] : SecurityFields(context.security)) {
    const std::string name = absl::StrCat("SEER_", absl::AsciiStrToUpper(key));
    if (const std::string said = Environment(name.c_str()); !said.empty()) *value = said;
  }
}

void AddFlags(const ContextFlags& flags, Context& context) {
  if (!flags.coordinator.empty()) context.coordinator = flags.coordinator;
  if (!flags.dataservice.empty()) context.dataservice = flags.dataservice;
  SecurityOptions said = flags.security;
  for (const auto& [key, value] : SecurityFields(said))
    if (!value->empty()) *SecurityFields(context.security).at(key) = *value;
  context.security.token_file = said.token_file;
  context.security.insecure = said.insecure;
}

// The file's context that is meant; without a name and a current one, an empty one.
absl::StatusOr<Context> Chosen(const ContextFlags& flags, const Contexts& saved) {
  const std::string named = NamedContext(flags);
  if (const Context* known = saved.Find(named.empty() ? saved.current : named); known != nullptr)
    return *known;
  if (!named.empty()) return NoContext(named, saved);
  return Context{saved.current, "", {}};
}

std::string FirstAddress(const std::string& coordinator) {
  const std::vector<std::string> addresses = SplitAddresses(coordinator);
  return addresses.empty() ? "" : addresses.front();
}

bool GoodInName(char c) { return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_'; }

// Whether it can be said everywhere: on the command line, in a file, in a completion.
absl::Status CheckName(const std::string& name) {
  bool good = name.size() <= kMaxName && absl::ascii_isalnum(name[0]);
  for (const char c : name) good = good && GoodInName(c);
  if (good) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("'", name, "' is no name for a context"))
      .Field("--context")
      .Hint("1 to 63 letters, digits, '-', '.' and '_', the first a letter or digit");
}

void MakeAbsolute(std::string& file) {
  if (!file.empty()) file = std::filesystem::absolute(file).string();
}

}  // namespace

std::string NamedContext(const ContextFlags& flags) {
  return flags.context.empty() ? Environment("SEER_CONTEXT") : flags.context;
}

absl::StatusOr<Context> LoadContext(const ContextFlags& flags) {
  const char* const token = std::getenv("SEER_TOKEN");
  if (flags.context.empty() && token != nullptr && *token == '\0' &&
      flags.security.token_file.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kTokenMissing,
                 "SEER_TOKEN is set, but empty")
        .Field("SEER_TOKEN")
        .Hint(absl::StrCat("put a token into it; or unset it, and the one in ", ConfigPath(),
                           " counts"));
  }
  SEER_ASSIGN_OR_RETURN(const Contexts saved, ReadContexts());
  SEER_ASSIGN_OR_RETURN(Context context, Chosen(flags, saved));
  if (flags.context.empty()) AddEnvironment(context);
  AddFlags(flags, context);
  return context;
}

std::string ContextName(const std::string& coordinator, const Contexts& saved) {
  const std::string address = FirstAddress(coordinator);
  const auto name = [](std::string text) {
    for (char& c : text)
      if (!GoodInName(c)) c = '-';
    text = text.substr(0, kMaxName);
    while (!text.empty() && !absl::ascii_isalnum(text.front())) text.erase(0, 1);
    return text.empty() ? std::string("default") : text;
  };
  const std::string whole = name(absl::StrReplaceAll(address, {{"[", ""}, {"]", ""}}));
  absl::string_view host = address;
  if (!absl::ConsumeSuffix(&host, ":7070")) return whole;
  const std::string of_host = name(absl::StrReplaceAll(std::string(host), {{"[", ""}, {"]", ""}}));
  const Context* const known = saved.Find(of_host);
  const bool taken =
      of_host == kLocalContext || (known != nullptr && FirstAddress(known->coordinator) != address);
  return taken ? whole : of_host;
}

absl::StatusOr<Context> LoginContext(const ContextFlags& flags, const Contexts& saved) {
  const std::string named = NamedContext(flags);
  const bool environment_names = !Environment("SEER_COORDINATOR").empty();
  // The environment's settings belong to the cluster that it names, not to one that flags name.
  const bool by_environment =
      flags.context.empty() && (flags.coordinator.empty() || !environment_names);
  Context context;
  const bool own = flags.coordinator.empty() && !(by_environment && environment_names);
  if (own) {
    SEER_ASSIGN_OR_RETURN(context, Chosen(flags, saved));
  }
  if (by_environment) AddEnvironment(context);
  AddFlags(flags, context);
  context.security.token.clear();
  if (SplitAddresses(context.coordinator).empty()) {
    return Error(absl::StatusCode::kUnavailable, reason::kServiceUnreachable,
                 "no address of a coordinator is known")
        .Hint("name one: `seer auth login --coordinator HOST:PORT`");
  }
  if (!own) {
    context.name = named.empty() ? ContextName(context.coordinator, saved) : named;
    SEER_RETURN_IF_ERROR(CheckName(context.name));
    if (context.name == kLocalContext) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   "the context 'local' is of `seer cluster up`, which writes it anew")
          .Field("--context")
          .Hint("choose another name");
    }
  }
  for (std::string* file :
       {&context.security.ca, &context.security.certificate, &context.security.key})
    MakeAbsolute(*file);
  return context;
}

}  // namespace seer::client
