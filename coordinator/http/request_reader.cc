#include "coordinator/http/request_reader.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/spec/yaml.h"

namespace seer::coordinator {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

Error Wrong(absl::string_view reason, const std::string& text, const std::string& field) {
  return Error(absl::StatusCode::kInvalidArgument, reason, text).Field(field);
}

const FieldDescriptor* FindField(const Descriptor& message, const std::string& name) {
  const FieldDescriptor* field = message.FindFieldByName(name);
  return field != nullptr ? field : message.FindFieldByCamelcaseName(name);
}

absl::Status UnknownField(const Descriptor& message, const std::string& name,
                          const std::string& path) {
  std::vector<std::string> names;
  for (int i = 0; i < message.field_count(); ++i) names.push_back(message.field(i)->json_name());
  const std::string nearest = NearestKey(name, names);
  return Wrong(reason::kUnknownKey, absl::StrCat("there is no field '", path, "'"), path)
      .Hint(nearest.empty() ? absl::StrCat("/openapi.json has those of ", message.name())
                            : absl::StrCat("did you mean '", nearest, "'?"));
}

// "max_devices,weight" -> "maxDevices,weight", as JSON writes the paths of a mask.
std::string CamelCase(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && i + 1 < text.size()) {
      out.push_back(absl::ascii_toupper(static_cast<unsigned char>(text[++i])));
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// A value of the query as JSON would have it. Numbers and enums may be strings there.
nlohmann::json JsonValue(const FieldDescriptor& field, const std::string& text) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL && (text == "true" || text == "false"))
    return text == "true";
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
      field.message_type()->full_name() == "google.protobuf.FieldMask")
    return CamelCase(text);
  return text;
}

// JSON of well-known types is a string, not an object.
bool IsObject(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         !absl::StartsWith(field.message_type()->full_name(), "google.protobuf.");
}

absl::Status AddQueryField(const Descriptor& message, const std::string& path,
                           const std::string& value, nlohmann::json& out) {
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  const Descriptor* in = &message;
  nlohmann::json* at = &out;
  for (size_t i = 0; i < names.size(); ++i) {
    const FieldDescriptor* field = FindField(*in, names[i]);
    if (field == nullptr) return UnknownField(*in, names[i], path);
    const bool last = i + 1 == names.size();
    if (field->is_map() || last == IsObject(*field) || (!last && field->is_repeated())) {
      return Wrong(reason::kWrongType, absl::StrCat("a query cannot say '", path, "'"), path)
          .Hint("name a single value in it, with dots, or call the method that takes a body");
    }
    nlohmann::json& child = (*at)[field->json_name()];
    if (!last) {
      in = field->message_type();
      at = &child;
    } else if (field->is_repeated()) {
      child.push_back(JsonValue(*field, value));
    } else if (child.is_null()) {
      child = JsonValue(*field, value);
    } else {
      return Wrong(reason::kWrongType, absl::StrCat("'", path, "' stands twice"), path)
          .Hint("say it once");
    }
  }
  return absl::OkStatus();
}

// protobuf's words, "(scheduling.priority): invalid value ..." or "(spec) optm: Cannot find field."
absl::Status ParseError(absl::string_view what, absl::string_view message) {
  std::string field(message.substr(0, std::min(message.find(": "), message.size())));
  field = absl::StrReplaceAll(field, {{") ", "."}, {"(", ""}, {")", ""}});
  if (absl::StrContains(field, ' ') || field.size() == message.size()) field.clear();
  const bool unknown = absl::StrContains(message, "Cannot find field");
  return Wrong(unknown ? reason::kUnknownKey : reason::kWrongType,
               absl::StrCat(what, ": ", absl::StrReplaceAll(message, {{"\n", " "}})), field)
      .Hint("/openapi.json has the fields and their types");
}

// Into `out`, whose other fields stay.
absl::Status ParseJson(absl::string_view what, const std::string& json, Message& out) {
  const std::unique_ptr<Message> fields(out.New());
  const auto status = google::protobuf::util::JsonStringToMessage(json, fields.get());
  if (!status.ok())
    return ParseError(what, absl::string_view(status.message().data(), status.message().size()));
  out.MergeFrom(*fields);
  return absl::OkStatus();
}

// What is percent-encoded may be any bytes; protobuf strings are UTF-8.
absl::StatusOr<std::string> Utf8(absl::string_view what, std::string text) {
  if (ValidUtf8Length(text) == text.size()) return text;
  return Wrong(reason::kInvalidArgument,
               absl::StrCat(what, " has '", ToValidUtf8(text), "', which is not UTF-8"), "")
      .Hint("percent-encode the bytes of its UTF-8");
}

absl::Status ReadQuery(const std::string& query, Message& out) {
  nlohmann::json json = nlohmann::json::object();
  for (const absl::string_view part : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const auto decoded = [](absl::string_view text) {
      return PercentDecoded(absl::StrReplaceAll(text, {{"+", " "}}));
    };
    SEER_ASSIGN_OR_RETURN(const std::string path, Utf8("the query", decoded(halves.first)));
    SEER_ASSIGN_OR_RETURN(const std::string value, Utf8("the query", decoded(halves.second)));
    SEER_RETURN_IF_ERROR(AddQueryField(*out.GetDescriptor(), path, value, json));
  }
  if (json.empty()) return absl::OkStatus();
  return ParseJson("the query", json.dump(), out);
}

absl::Status ReadBody(const Route& route, const HttpCallerRequest& request, Message& out) {
  if (request.body.empty()) return absl::OkStatus();
  if (route.body.empty()) {
    return Wrong(reason::kInvalidArgument, absl::StrCat(route.verb, " of this path takes no body"),
                 "")
        .Hint("put the fields into the query");
  }
  const auto type = request.headers.find("content-type");
  if (type == request.headers.end() ||
      !absl::StartsWithIgnoreCase(type->second, "application/json"))
    return Wrong(reason::kInvalidArgument, "the body is not sent as JSON", "")
        .Hint("send the header Content-Type: application/json");
  if (route.body == "*") return ParseJson("the body", request.body, out);
  const FieldDescriptor* field = out.GetDescriptor()->FindFieldByName(std::string(route.body));
  return ParseJson("the body", request.body, *out.GetReflection()->MutableMessage(&out, field));
}

void SetVariable(const std::string& path, const std::string& value, Message& out) {
  Message* in = &out;
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  for (size_t i = 0; i + 1 < names.size(); ++i)
    in = in->GetReflection()->MutableMessage(in, in->GetDescriptor()->FindFieldByName(names[i]));
  in->GetReflection()->SetString(in, in->GetDescriptor()->FindFieldByName(names.back()), value);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Message>> ReadRequest(const Match& match,
                                                     const HttpCallerRequest& request) {
  const Descriptor* type = MethodOf(*match.route).input_type();
  std::unique_ptr<Message> out(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  SEER_RETURN_IF_ERROR(ReadBody(*match.route, request, *out));
  if (match.route->body == "*" && !request.query.empty()) {
    return Wrong(reason::kInvalidArgument, "this path takes its fields in the body, not in a query",
                 "")
        .Hint("send them as JSON");
  }
  SEER_RETURN_IF_ERROR(ReadQuery(request.query, *out));
  const auto last = request.headers.find("last-event-id");
  if (!match.route->resume_field.empty() && last != request.headers.end()) {
    nlohmann::json number;
    SEER_RETURN_IF_ERROR(
        AddQueryField(*type, std::string(match.route->resume_field), last->second, number));
    SEER_RETURN_IF_ERROR(ParseJson("the header Last-Event-ID", number.dump(), *out));
  }
  for (const auto& [path, value] : match.variables) {
    SEER_ASSIGN_OR_RETURN(const std::string text, Utf8("the path", value));
    SetVariable(path, text, *out);
  }
  return out;
}

}  // namespace seer::coordinator
