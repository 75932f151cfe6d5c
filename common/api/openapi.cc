#include "common/api/openapi.h"

#include <google/protobuf/descriptor.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/api/routes.h"
#include "common/base/error.h"

namespace seer {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::SourceLocation;
using Json = nlohmann::ordered_json;

constexpr char kPackage[] = "seer.v1.";

template <typename Element>
std::string Comment(const Element& element) {
  SourceLocation location;
  if (!element.GetSourceLocation(&location)) return "";
  const std::string& text =
      location.leading_comments.empty() ? location.trailing_comments : location.leading_comments;
  std::string out;
  for (const absl::string_view line : absl::StrSplit(text, '\n'))
    absl::StrAppend(&out, out.empty() ? "" : " ", absl::StripAsciiWhitespace(line));
  return std::string(absl::StripAsciiWhitespace(out));
}

std::string ShortName(const std::string& full_name) {
  return std::string(absl::StripPrefix(full_name, kPackage));
}

class Document {
 public:
  explicit Document(const google::protobuf::DescriptorPool& pool) : pool_(pool) {}

  absl::StatusOr<std::string> Make() {
    Json paths = Json::object();
    std::set<std::string> operations;
    for (const Route& route : Routes()) {
      const MethodDescriptor* method = pool_.FindMethodByName(std::string(route.rpc));
      if (method == nullptr) {
        return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                     absl::StrCat("the descriptors have no method ", route.rpc));
      }
      Json operation = Operation(route, *method);
      std::string id = ShortName(method->full_name());
      while (!operations.insert(id).second) id += "_";
      operation["operationId"] = id;
      paths[ReadablePath(route).path][absl::AsciiStrToLower(route.verb)] = std::move(operation);
    }
    Json schemas = Json::object();
    schemas["Error"] = ErrorSchema();
    while (!wanted_.empty()) {  // what they refer to is wanted meanwhile
      const auto [name, message] = *wanted_.begin();
      wanted_.erase(wanted_.begin());
      done_.insert(name);
      schemas[name] = ObjectSchema(*message, {});
    }
    Json tags = Json::array();
    for (const auto& [name, text] : tags_) tags.push_back({{"name", name}, {"description", text}});
    const Json document = {
        {"openapi", "3.0.3"},
        {"info",
         {{"title", "seer"},
          {"version", "v1"},
          {"description",
           "Jobs that pre-train on changing pools of images. JSON is the proto3 JSON of the gRPC "
           "API: 64-bit integers are strings, fields with their default value are left out. A "
           "stream is a line of JSON a message, or Server-Sent Events with Accept: "
           "text/event-stream; a line {\"error\": ...} or an event `error` says how it failed."},
          {"license", {{"name", "Apache-2.0"}}}}},
        {"servers", {{{"url", "/"}}}},
        {"security", {Json::object(), {{"bearer", Json::array()}}}},
        {"tags", std::move(tags)},
        {"paths", std::move(paths)},
        {"components",
         {{"securitySchemes", {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}}}},
          {"schemas", std::move(schemas)}}}};
    return document.dump(1) + "\n";
  }

 private:
  static Json ErrorSchema() {
    return {{"type", "object"},
            {"description", "AIP-193. docs/errors.md has the reasons."},
            {"properties",
             {{"error",
               {{"type", "object"},
                {"properties",
                 {{"code", {{"type", "integer"}, {"description", "The HTTP status."}}},
                  {"status", {{"type", "string"}, {"description", "The gRPC code, as NOT_FOUND."}}},
                  {"message", {{"type", "string"}}},
                  {"details",
                   {{"type", "array"},
                    {"description",
                     "google.rpc.ErrorInfo with `reason` and, in `metadata`, the `hint`; "
                     "google.rpc.BadRequest with the field."},
                    {"items", {{"type", "object"}}}}}}}}}}}};
  }

  Json Operation(const Route& route, const MethodDescriptor& method) {
    tags_[method.service()->name()] = Comment(*method.service());
    Json operation = {{"tags", {method.service()->name()}}};
    if (const std::string text = Comment(method); !text.empty()) operation["description"] = text;
    std::set<std::string> taken;  // fields of the request that the path or the body has
    Json parameters = Json::array();
    for (const std::string& variable : ReadablePath(route).variables) {
      parameters.push_back({{"name", variable},
                            {"in", "path"},
                            {"required", true},
                            {"schema", {{"type", "string"}}}});
    }
    for (absl::string_view part : absl::StrSplit(route.path, '{')) {
      if (const size_t end = part.find('='); end != absl::string_view::npos)
        taken.insert(std::string(part.substr(0, end)));
    }
    if (route.body == "*") {
      operation["requestBody"] = Body(ObjectSchema(*method.input_type(), taken));
    } else {
      if (!route.body.empty()) {
        const auto* field = method.input_type()->FindFieldByName(std::string(route.body));
        operation["requestBody"] = Body(Reference(*field->message_type()));
        taken.insert(std::string(route.body));
      }
      AddQuery(*method.input_type(), taken, parameters);
    }
    if (!route.resume_field.empty()) {
      parameters.push_back({{"name", "Last-Event-ID"},
                            {"in", "header"},
                            {"description", absl::StrCat("As ", route.resume_field,
                                                         ": the id of the last event that came.")},
                            {"schema", {{"type", "string"}, {"format", "int64"}}}});
    }
    if (!parameters.empty()) operation["parameters"] = std::move(parameters);
    Json content = Json::object();
    const Json answer = {{"schema", Reference(*method.output_type())}};
    if (method.server_streaming()) {
      content["application/x-ndjson"] = answer;
      content["text/event-stream"] = answer;
    } else {
      content["application/json"] = answer;
    }
    operation["responses"] = {
        {"200", {{"description", "OK"}, {"content", std::move(content)}}},
        {"default",
         {{"description", "An error"},
          {"content",
           {{"application/json", {{"schema", {{"$ref", "#/components/schemas/Error"}}}}}}}}}};
    return operation;
  }

  static Json Body(Json schema) {
    return {{"content", {{"application/json", {{"schema", std::move(schema)}}}}}};
  }

  void AddQuery(const Descriptor& request, const std::set<std::string>& taken, Json& parameters) {
    for (int i = 0; i < request.field_count(); ++i) {
      const FieldDescriptor& field = *request.field(i);
      if (taken.count(field.name()) > 0) continue;
      Json parameter = {{"name", field.json_name()}, {"in", "query"}};
      if (const std::string text = Comment(field); !text.empty()) parameter["description"] = text;
      parameter["schema"] = FieldSchema(field);
      parameters.push_back(std::move(parameter));
    }
  }

  Json Reference(const Descriptor& message) {
    const std::string name = ShortName(message.full_name());
    if (done_.count(name) == 0) wanted_[name] = &message;
    return {{"$ref", absl::StrCat("#/components/schemas/", name)}};
  }

  Json ObjectSchema(const Descriptor& message, const std::set<std::string>& without) {
    Json schema = {{"type", "object"}};
    if (const std::string text = Comment(message); !text.empty()) schema["description"] = text;
    Json properties = Json::object();
    for (int i = 0; i < message.field_count(); ++i) {
      const FieldDescriptor& field = *message.field(i);
      if (without.count(field.name()) > 0) continue;
      Json property = FieldSchema(field);
      if (const std::string text = Comment(field); !text.empty()) {
        // Beside a reference nothing else counts.
        if (property.contains("$ref")) property = {{"allOf", {property}}};
        property["description"] = text;
      }
      properties[field.json_name()] = std::move(property);
    }
    if (!properties.empty()) schema["properties"] = std::move(properties);
    return schema;
  }

  Json FieldSchema(const FieldDescriptor& field) {
    if (field.is_map()) {
      return {{"type", "object"},
              {"additionalProperties", ValueSchema(*field.message_type()->map_value())}};
    }
    if (field.is_repeated()) return {{"type", "array"}, {"items", ValueSchema(field)}};
    return ValueSchema(field);
  }

  Json ValueSchema(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        return {{"type", "boolean"}};
      case FieldDescriptor::CPPTYPE_INT32:
      case FieldDescriptor::CPPTYPE_UINT32:
        return {{"type", "integer"}, {"format", "int32"}};
      case FieldDescriptor::CPPTYPE_INT64:
      case FieldDescriptor::CPPTYPE_UINT64:
        return {{"type", "string"}, {"format", "int64"}};
      case FieldDescriptor::CPPTYPE_FLOAT:
        return {{"type", "number"}, {"format", "float"}};
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return {{"type", "number"}, {"format", "double"}};
      case FieldDescriptor::CPPTYPE_ENUM:
        return EnumSchema(*field.enum_type());
      case FieldDescriptor::CPPTYPE_STRING:
        if (field.type() == FieldDescriptor::TYPE_BYTES)
          return {{"type", "string"}, {"format", "byte"}};
        return {{"type", "string"}};
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return MessageSchema(*field.message_type());
    }
    return Json::object();
  }

  static Json EnumSchema(const EnumDescriptor& values) {
    Json names = Json::array();
    std::string text;
    for (int i = 0; i < values.value_count(); ++i) {
      names.push_back(values.value(i)->name());
      if (const std::string comment = Comment(*values.value(i)); !comment.empty())
        absl::StrAppend(&text, text.empty() ? "" : "; ", values.value(i)->name(), ": ", comment);
    }
    Json schema = {{"type", "string"}, {"enum", std::move(names)}};
    if (!text.empty()) schema["description"] = text;
    return schema;
  }

  Json MessageSchema(const Descriptor& message) {
    if (message.full_name() == "google.protobuf.Timestamp")
      return {{"type", "string"}, {"format", "date-time"}};
    if (message.full_name() == "google.protobuf.Duration") {
      return {{"type", "string"}, {"pattern", "^-?[0-9]+(\\.[0-9]{1,9})?s$"}, {"example", "3.5s"}};
    }
    if (message.full_name() == "google.protobuf.FieldMask")
      return {{"type", "string"}, {"example", "scheduling.priority,metadata.labels"}};
    return Reference(message);
  }

  const google::protobuf::DescriptorPool& pool_;
  std::map<std::string, std::string> tags_;
  std::map<std::string, const Descriptor*> wanted_;
  std::set<std::string> done_;
};

}  // namespace

absl::StatusOr<std::string> MakeOpenApi(const google::protobuf::FileDescriptorSet& files) {
  google::protobuf::DescriptorPool pool;
  for (const auto& file : files.file()) {
    if (pool.BuildFile(file) == nullptr) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("the descriptors of ", file.name(), " cannot be used"));
    }
  }
  return Document(pool).Make();
}

}  // namespace seer
