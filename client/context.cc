#include "client/context.h"

#include <sys/stat.h>
#include <yaml-cpp/yaml.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/process.h"
#include "common/base/status_macros.h"

namespace seer::client {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

absl::StatusOr<YAML::Node> LoadFile() {
  if (!std::filesystem::exists(ConfigPath())) return YAML::Node();
  try {
    return YAML::LoadFile(ConfigPath());
  } catch (const YAML::Exception& error) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kYamlSyntax,
                 absl::StrCat(ConfigPath(), ": ", error.what()))
        .Hint("mend the file or remove it; `seer cluster up` writes a new one");
  }
}

// What the file and the environment say of security, by its key in the file.
std::map<std::string, std::string*> Fields(SecurityOptions& security) {
  return {{"tls_ca", &security.ca},
          {"tls_cert", &security.certificate},
          {"tls_key", &security.key},
          {"token", &security.token}};
}

}  // namespace

std::string ConfigPath() {
  if (const std::string path = Environment("SEER_CONFIG"); !path.empty()) return path;
  const std::string base = Environment("XDG_CONFIG_HOME").empty() ? Environment("HOME") + "/.config"
                                                                  : Environment("XDG_CONFIG_HOME");
  return base + "/seer/config.yaml";
}

absl::StatusOr<Context> SavedContext() {
  Context context;
  SEER_ASSIGN_OR_RETURN(const YAML::Node file, LoadFile());
  try {
    if (file.IsMap() && file["current"]) {
      context.name = file["current"].as<std::string>();
      const YAML::Node contexts = file["contexts"];
      const YAML::Node entry = contexts && contexts[context.name] ? contexts[context.name]
                                                                  : YAML::Node(YAML::NodeType::Map);
      if (entry["coordinator"]) context.coordinator = entry["coordinator"].as<std::string>();
      if (entry["dataservice"])
        context.dataservice = entry["dataservice"].as<std::vector<std::string>>();
      for (const auto& [key, value] : Fields(context.security))
        if (entry[key]) *value = entry[key].as<std::string>();
    }
  } catch (const YAML::Exception& error) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kWrongType,
                 absl::StrCat(ConfigPath(), ": ", error.what()))
        .Hint("mend the file or remove it; `seer cluster up` writes a new one");
  }
  return context;
}

absl::StatusOr<Context> LoadContext(const ContextFlags& flags) {
  SEER_ASSIGN_OR_RETURN(Context context, SavedContext());
  if (const std::string value = Environment("SEER_COORDINATOR"); !value.empty())
    context.coordinator = value;
  if (const std::string value = Environment("SEER_DATASERVICE"); !value.empty())
    context.dataservice = absl::StrSplit(value, ',');
  const char* const token = std::getenv("SEER_TOKEN");
  if (token != nullptr && *token == '\0' && flags.security.token_file.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kTokenMissing,
                 "SEER_TOKEN is set, but empty")
        .Field("SEER_TOKEN")
        .Hint(absl::StrCat("put a token into it; or unset it, and the one in ", ConfigPath(),
                           " counts"));
  }
  for (const auto& [key, value] : Fields(context.security)) {
    const std::string name = absl::StrCat("SEER_", absl::AsciiStrToUpper(key));
    if (const std::string said = Environment(name.c_str()); !said.empty()) *value = said;
  }
  if (!flags.coordinator.empty()) context.coordinator = flags.coordinator;
  if (!flags.dataservice.empty()) context.dataservice = flags.dataservice;
  SecurityOptions said = flags.security;
  for (const auto& [key, value] : Fields(said))
    if (!value->empty()) *Fields(context.security).at(key) = *value;
  context.security.token_file = said.token_file;
  context.security.insecure = said.insecure;
  return context;
}

absl::Status SaveContext(const Context& context) {
  SEER_ASSIGN_OR_RETURN(YAML::Node file, LoadFile());
  if (file.IsDefined() && !file.IsNull() && !file.IsMap()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kWrongType,
                 absl::StrCat(ConfigPath(), " is no map of settings"))
        .Hint("mend the file or remove it; `seer cluster up` writes a new one");
  }
  file["current"] = context.name;
  YAML::Node entry;
  entry["coordinator"] = context.coordinator;
  entry["dataservice"] = context.dataservice;
  SecurityOptions security = context.security;
  for (const auto& [key, value] : Fields(security))
    if (!value->empty()) entry[key] = *value;
  file["contexts"][context.name] = entry;
  YAML::Emitter out;
  out << file;
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(ConfigPath()).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  // For the user's eyes alone: it may hold what opens a cluster.
  const mode_t before = ::umask(077);
  const absl::Status written = WriteFileAtomically(ConfigPath(), out.c_str());
  ::umask(before);
  return written;
}

}  // namespace seer::client
