#include "common/spec/yaml.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/base/duration.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/spec/yaml_names.h"

namespace seer {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr absl::Duration kMaxDuration = absl::Seconds(315'576'000'000);  // protobuf's bound
constexpr int kMaxExtends = 8;  // recipes that extend recipes; more is taken for a circle

// Where a value stands, for messages: "job.yaml:12" or "--set optim.lr".
struct Place {
  std::string source;
  bool is_file = true;
  std::string At(const YAML::Node& node) const {
    return is_file ? absl::StrCat(source, ":", node.Mark().line + 1) : source;
  }
  // "job.yaml:12: optim.lr"; the path that an assignment begins with is said once.
  std::string Of(const YAML::Node& node, const std::string& path) const {
    return !is_file && absl::EndsWith(source, path) ? source : absl::StrCat(At(node), ": ", path);
  }
};

std::string Described(const YAML::Node& node) {
  if (node.IsSequence()) return "a list";
  if (node.IsMap()) return "a mapping";
  if (node.IsNull()) return "nothing";
  return absl::StrCat("'", node.Scalar(), "'");
}

Error WrongType(const Place& place, const YAML::Node& node, const std::string& path,
                absl::string_view expected) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kWrongType,
               absl::StrCat(place.Of(node, path), " is ", Described(node), ", expected ", expected))
      .Field(path)
      .With("expected", expected);
}

absl::Status UnknownKey(const Place& place, const YAML::Node& node, const std::string& path,
                        const std::string& key, const Descriptor& type,
                        std::vector<std::string> candidates) {
  for (int i = 0; i < type.field_count(); ++i) candidates.push_back(type.field(i)->json_name());
  const std::string nearest = NearestKey(key, candidates);
  const std::string full = path.empty() ? key : absl::StrCat(path, ".", key);
  std::sort(candidates.begin(), candidates.end());
  return Error(absl::StatusCode::kInvalidArgument, reason::kUnknownKey,
               absl::StrCat(place.At(node), ": unknown key '", full, "'",
                            nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?")))
      .Field(full)
      .Hint(absl::StrCat("keys here: ", absl::StrJoin(candidates, ", ")))
      .With("key", full)
      .With("nearest", nearest);
}

// Of two values for one key the reader cannot know which is meant.
absl::Status KeyStandsTwice(const Place& place, const YAML::Node& node, const std::string& path) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kYamlSyntax,
               absl::StrCat(place.At(node), ": key '", path, "' stands there a second time"))
      .Field(path)
      .Hint("remove one of the two, or merge what is below them")
      .With("key", path);
}

absl::Status OverlayMessage(const YAML::Node& node, const Place& place, const std::string& path,
                            Message& message, const std::vector<std::string>& more_keys = {});

// "90s", "1h30m", "90d". INVALID_ARGUMENT: not a duration, or one of more than 10,000 years.
absl::StatusOr<absl::Duration> ReadDuration(const std::string& text) {
  absl::Duration duration;
  if (!ParseDurationOrDays(text, &duration)) return absl::InvalidArgumentError("not a duration");
  if (absl::AbsDuration(duration) > kMaxDuration) return absl::InvalidArgumentError("too long");
  return duration;
}

// One value: set (repeated = false) or appended.
absl::Status SetValue(const YAML::Node& node, const Place& place, const std::string& path,
                      const FieldDescriptor& field, Message& message, bool append) {
  const auto& reflection = *message.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    Message& child = append ? *reflection.AddMessage(&message, &field)
                            : *reflection.MutableMessage(&message, &field);
    if (field.message_type()->full_name() == "google.protobuf.Duration") {
      const auto duration =
          node.IsScalar() ? ReadDuration(node.Scalar()) : absl::InvalidArgumentError("");
      if (!duration.ok()) return WrongType(place, node, path, "a duration such as 90s, 5m or 36h");
      auto& proto = static_cast<google::protobuf::Duration&>(child);
      absl::Duration rest;
      proto.set_seconds(absl::IDivDuration(*duration, absl::Seconds(1), &rest));
      proto.set_nanos(static_cast<int32_t>(rest / absl::Nanoseconds(1)));
      return absl::OkStatus();
    }
    return OverlayMessage(node, place, path, child);
  }
  if (!node.IsScalar()) return WrongType(place, node, path, TypeName(field));
  const std::string& text = node.Scalar();
#define SEER_SET(kind, value)                             \
  (append ? reflection.Add##kind(&message, &field, value) \
          : reflection.Set##kind(&message, &field, value))
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t value;
      if (!absl::SimpleAtoi(text, &value)) return WrongType(place, node, path, TypeName(field));
      SEER_SET(Int32, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      int64_t value;
      if (!absl::SimpleAtoi(text, &value)) return WrongType(place, node, path, TypeName(field));
      SEER_SET(Int64, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t value;
      if (!absl::SimpleAtoi(text, &value)) return WrongType(place, node, path, TypeName(field));
      SEER_SET(UInt64, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double value;
      if (!absl::SimpleAtod(text, &value)) return WrongType(place, node, path, TypeName(field));
      SEER_SET(Double, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_FLOAT: {
      float value;
      if (!absl::SimpleAtof(text, &value)) return WrongType(place, node, path, TypeName(field));
      SEER_SET(Float, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      const std::string lower = absl::AsciiStrToLower(text);
      const bool yes = lower == "true" || lower == "yes" || lower == "on";
      if (!yes && lower != "false" && lower != "no" && lower != "off")
        return WrongType(place, node, path, TypeName(field));
      SEER_SET(Bool, yes);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = FindEnumValue(*field.enum_type(), text);
      if (value == nullptr) return WrongType(place, node, path, TypeName(field));
      SEER_SET(Enum, value);
      return absl::OkStatus();
    }
    default:
      SEER_SET(String, text);
      return absl::OkStatus();
  }
#undef SEER_SET
}

absl::Status OverlayMap(const YAML::Node& node, const Place& place, const std::string& path,
                        const FieldDescriptor& field, Message& message) {
  if (!node.IsMap()) return WrongType(place, node, path, "a mapping of text to text");
  const auto& reflection = *message.GetReflection();
  std::set<std::string> seen;
  for (const auto& item : node) {
    if (!item.first.IsScalar() || !item.second.IsScalar())
      return WrongType(place, item.second, path, "a mapping of text to text");
    if (!seen.insert(item.first.Scalar()).second)
      return KeyStandsTwice(place, item.first, absl::StrCat(path, ".", item.first.Scalar()));
    const FieldDescriptor* key = field.message_type()->map_key();
    const FieldDescriptor* value = field.message_type()->map_value();
    Message* entry = nullptr;
    for (int i = 0; i < reflection.FieldSize(message, &field) && entry == nullptr; ++i) {
      Message* present = reflection.MutableRepeatedMessage(&message, &field, i);
      if (present->GetReflection()->GetString(*present, key) == item.first.Scalar())
        entry = present;
    }
    if (entry == nullptr) entry = reflection.AddMessage(&message, &field);
    entry->GetReflection()->SetString(entry, key, item.first.Scalar());
    entry->GetReflection()->SetString(entry, value, item.second.Scalar());
  }
  return absl::OkStatus();
}

// A value over what stands there: lists are replaced, messages and maps are merged.
absl::Status OverlayField(const YAML::Node& node, const Place& place, const std::string& path,
                          const FieldDescriptor& field, Message& message) {
  if (node.IsNull()) return absl::OkStatus();  // "key:" with nothing behind it: left to its default
  if (field.is_map()) return OverlayMap(node, place, path, field, message);
  if (!field.is_repeated()) return SetValue(node, place, path, field, message, /*append=*/false);
  if (!node.IsSequence())
    return WrongType(place, node, path, absl::StrCat("a list of ", TypeName(field)));
  message.GetReflection()->ClearField(&message, &field);
  int index = 0;
  for (const auto& item : node) {
    SEER_RETURN_IF_ERROR(SetValue(item, place, absl::StrCat(path, "[", index++, "]"), field,
                                  message, /*append=*/true));
  }
  return absl::OkStatus();
}

absl::Status OverlayMessage(const YAML::Node& node, const Place& place, const std::string& path,
                            Message& message, const std::vector<std::string>& more_keys) {
  if (!node.IsMap())
    return WrongType(place, node, path.empty() ? "the job" : path, "a mapping of keys");
  const Descriptor& type = *message.GetDescriptor();
  std::set<const FieldDescriptor*> seen;
  for (const auto& item : node) {
    if (!item.first.IsScalar()) return WrongType(place, item.first, path, "a key");
    const std::string& key = item.first.Scalar();
    if (std::find(more_keys.begin(), more_keys.end(), key) != more_keys.end()) continue;
    const FieldDescriptor* field = FindField(type, key);
    if (field == nullptr) return UnknownKey(place, item.first, path, key, type, more_keys);
    const std::string child =
        path.empty() ? field->json_name() : absl::StrCat(path, ".", field->json_name());
    if (!seen.insert(field).second) return KeyStandsTwice(place, item.first, child);
    SEER_RETURN_IF_ERROR(OverlayField(item.second, place, child, *field, message));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<YAML::Node>> LoadAll(const std::string& text,
                                                const std::string& source) {
  if (text.size() > kMaxSpecTextBytes) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat(source, " has ", text.size(), " bytes, must have at most ",
                              kMaxSpecTextBytes))
        .Hint(
            "a job says what to train, not with what: keep data in pools, and long texts elsewhere")
        .With("value", absl::StrCat(text.size()))
        .With("allowed", absl::StrCat("at most ", kMaxSpecTextBytes));
  }
  if (const size_t good = ValidUtf8Length(text); good < text.size()) {
    const auto line =
        1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(good), '\n');
    return Error(absl::StatusCode::kInvalidArgument, reason::kYamlSyntax,
                 absl::StrCat(source, ":", line, ": not UTF-8"))
        .Hint("save the file as UTF-8");
  }
  try {
    return YAML::LoadAll(text);
  } catch (const YAML::Exception& error) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kYamlSyntax,
                 absl::StrCat(source, ":", error.mark.line + 1, ": ", error.msg))
        .Hint(
            "the file is not YAML: look at the indentation and the colons of that line and the one "
            "before it");
  }
}

absl::StatusOr<YAML::Node> Load(const std::string& text, const std::string& source) {
  SEER_ASSIGN_OR_RETURN(const std::vector<YAML::Node> documents, LoadAll(text, source));
  if (documents.size() <= 1) return documents.empty() ? YAML::Node() : documents.front();
  return Error(absl::StatusCode::kInvalidArgument, reason::kYamlSyntax,
               absl::StrCat(source, ":", documents[1].Mark().line + 1,
                            ": a second document, only one is read"))
      .Hint(
          "write one job a file, without lines of '---' in between; `seer job submit` alone takes "
          "several");
}

absl::StatusOr<std::string> FindRecipe(const std::string& wanted, const Place& place,
                                       const YAML::Node& node,
                                       const std::vector<std::string>& recipe_dirs) {
  std::string name = wanted;
  if (absl::StartsWith(name, "recipes/")) name = name.substr(8);
  if (absl::EndsWith(name, ".yaml")) name = name.substr(0, name.size() - 5);
  std::vector<std::string> known;
  for (const std::string& dir : recipe_dirs) {
    const auto path = std::filesystem::path(dir) / (name + ".yaml");
    std::error_code error;
    // Below the folder alone: a text may be somebody else's.
    if (!absl::StrContains(name, "..") && !absl::StartsWith(name, "/") &&
        std::filesystem::is_regular_file(path, error))
      return path.string();
    for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
      if (entry.path().extension() == ".yaml") known.push_back(entry.path().stem().string());
    }
  }
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());  // of several folders
  return Error(absl::StatusCode::kInvalidArgument, reason::kUnknownRecipe,
               absl::StrCat(place.At(node), ": no recipe '", wanted, "'"))
      .Field("extends")
      .Hint(known.empty() ? "no recipes were found"
                          : absl::StrCat("recipes: ", absl::StrJoin(known, ", ")));
}

absl::Status OverlaySpec(const YAML::Node& node, const std::string& source,
                         const std::vector<std::string>& recipe_dirs, int depth,
                         v1::JobSpec& spec) {
  const Place place{source};
  if (node.IsNull()) return absl::OkStatus();
  if (node.IsMap() && node["extends"]) {
    const YAML::Node extends = node["extends"];
    if (!extends.IsScalar()) return WrongType(place, extends, "extends", "a recipe's name");
    if (depth >= kMaxExtends) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kUnknownRecipe,
                   absl::StrCat(place.At(extends), ": recipes extend each other in a circle"))
          .Field("extends");
    }
    SEER_ASSIGN_OR_RETURN(const std::string path,
                          FindRecipe(extends.Scalar(), place, extends, recipe_dirs));
    std::ifstream file(path);
    std::stringstream base;
    base << file.rdbuf();
    SEER_ASSIGN_OR_RETURN(const YAML::Node recipe, Load(base.str(), path));
    SEER_RETURN_IF_ERROR(OverlaySpec(recipe, path, recipe_dirs, depth + 1, spec));
  }
  return OverlayMessage(node, place, "", spec, {"extends"});
}

}  // namespace

absl::StatusOr<v1::JobSpec> ParseJobSpec(const std::string& text, const std::string& source,
                                         const std::vector<std::string>& recipe_dirs) {
  v1::JobSpec spec;
  SEER_ASSIGN_OR_RETURN(const YAML::Node node, Load(text, source));
  SEER_RETURN_IF_ERROR(OverlaySpec(node, source, recipe_dirs, 0, spec));
  return spec;
}

absl::StatusOr<std::vector<v1::JobSpec>> ParseJobSpecs(
    const std::string& text, const std::string& source,
    const std::vector<std::string>& recipe_dirs) {
  SEER_ASSIGN_OR_RETURN(const std::vector<YAML::Node> documents, LoadAll(text, source));
  std::vector<v1::JobSpec> specs;
  for (const YAML::Node& node : documents) {
    if (node.IsNull() && documents.size() > 1) continue;
    SEER_RETURN_IF_ERROR(OverlaySpec(node, source, recipe_dirs, 0, specs.emplace_back()));
  }
  if (specs.empty()) specs.emplace_back();
  return specs;
}

absl::Status ApplySet(v1::JobSpec& spec, const std::string& assignment, const std::string& flag) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat(flag, assignment, " has no '='"))
        .Hint(absl::StrCat("write ", flag, "key.path=value, for example ", flag,
                           "checkpoint.keepLast=5"));
  }
  const std::string path = assignment.substr(0, equals);
  SEER_ASSIGN_OR_RETURN(YAML::Node node,
                        Load(assignment.substr(equals + 1), absl::StrCat(flag, path)));
  // Wraps the value into the mappings that the path names, from the inside out.
  std::vector<std::string> parts = absl::StrSplit(path, '.');
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    YAML::Node outer(YAML::NodeType::Map);
    outer[*part] = node;
    node = outer;
  }
  return OverlayMessage(node, Place{absl::StrCat(flag, path), false}, "", spec);
}

std::string NearestKey(const std::string& key, const std::vector<std::string>& candidates) {
  const auto plain = [](const std::string& text) {
    std::string out;
    for (char c : text)
      if (c != '_' && c != '-') out.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
    return out;
  };
  const std::string a = plain(key);
  std::string best;
  size_t best_distance = std::max<size_t>(1, a.size() / 2) + 1;
  for (const std::string& candidate : candidates) {
    const std::string b = plain(candidate);
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
      size_t diagonal = row[0]++;
      for (size_t j = 1; j <= b.size(); ++j) {
        const size_t above = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
        diagonal = above;
      }
    }
    if (row[b.size()] < best_distance) {
      best_distance = row[b.size()];
      best = candidate;
    }
  }
  return best;
}

}  // namespace seer
