#include "common/api/openapi.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "common/api/api_files.h"
#include "common/api/routes.h"
#include "common/base/reasons.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

google::protobuf::FileDescriptorSet Files() {
  google::protobuf::FileDescriptorSet files;
  files.ParseFromString(std::string(Protoset()));
  return files;
}

TEST(OpenApi, HasEveryRouteWithWhatItDoes) {
  const json document = json::parse(OpenApi());
  for (const Route& route : Routes()) {
    std::string verb(route.verb);
    for (char& c : verb) c = static_cast<char>(std::tolower(c));
    const json& operation = document["paths"][ReadablePath(route).path][verb];
    ASSERT_TRUE(operation.is_object()) << route.path;
    const std::string type =
        MethodOf(route).server_streaming() ? "text/event-stream" : "application/json";
    EXPECT_TRUE(operation["responses"]["200"]["content"].contains(type)) << route.path;
    EXPECT_TRUE(operation["responses"].contains("default")) << route.path;
  }
  const json& pause = document["paths"]["/v1/jobs/{job}:pause"]["post"];
  EXPECT_THAT(pause["description"].get<std::string>(), HasSubstr("WRONG_JOB_STATE"));
  EXPECT_EQ(pause["parameters"][0]["name"], "job");
  const json& fields = pause["requestBody"]["content"]["application/json"]["schema"]["properties"];
  EXPECT_TRUE(fields.contains("requestId"));
  EXPECT_FALSE(fields.contains("name")) << "the path has it";
}

TEST(OpenApi, WritesTypesAsProto3JsonHasThem) {
  const json schemas = json::parse(OpenApi())["components"]["schemas"];
  EXPECT_EQ(schemas["Progress"]["properties"]["step"]["type"], "string");  // 64 bits
  EXPECT_EQ(schemas["Progress"]["properties"]["loss"]["type"], "number");
  EXPECT_EQ(schemas["Job"]["properties"]["createTime"]["format"], "date-time");
  EXPECT_EQ(schemas["Job"]["properties"]["ranks"]["type"], "array");
  EXPECT_EQ(schemas["Metadata"]["properties"]["labels"]["additionalProperties"]["type"], "string");
  EXPECT_EQ(schemas["Queue"]["properties"]["preemptionGrace"]["example"], "3.5s");
  EXPECT_THAT(schemas["Job"]["properties"]["state"]["enum"],
              ::testing::Contains("JOB_STATE_PAUSED"));
  EXPECT_EQ(schemas["SampledView"]["properties"]["rgb"]["format"], "byte");
}

TEST(OpenApi, RefersToWhatIsThere) {
  const json document = json::parse(OpenApi());
  int references = 0;
  const std::function<void(const json&)> look = [&](const json& at) {
    if (at.is_object() && at.contains("$ref")) {
      ++references;
      EXPECT_TRUE(document.contains(json::json_pointer(at["$ref"].get<std::string>().substr(1))))
          << at;
    }
    for (const auto& child : at)
      if (child.is_structured()) look(child);
  };
  look(document);
  EXPECT_GT(references, 100);
}

// Style: every element has a comment. Those of requests and of trivial wrappers stand at their
// field.
TEST(OpenApi, SaysWhatEveryFieldOfAResourceMeans) {
  const json schemas = json::parse(OpenApi())["components"]["schemas"];
  for (const char* name : {"Job", "Curve", "Event", "Queue", "Worker", "Pool", "Checkpoint"})
    EXPECT_TRUE(schemas.contains(name)) << name;
  EXPECT_THAT(schemas["Curve"]["properties"]["points"]["description"].get<std::string>(),
              HasSubstr("ascending"));
}

TEST(OpenApi, SaysWhatItCannotUse) {
  google::protobuf::FileDescriptorSet files = Files();
  for (auto& file : *files.mutable_file()) {
    if (file.name() != "seer/v1/workers.proto") continue;
    file.mutable_service(0)->mutable_method(0)->set_name("Other");
  }
  EXPECT_THAT(MakeOpenApi(files), testing::FailsWith(absl::StatusCode::kInvalidArgument,
                                                     reason::kInvalidArgument, "seer.v1.Workers."));
  files.mutable_file()->RemoveLast();
  files.mutable_file(0)->set_name("");
  EXPECT_THAT(MakeOpenApi(files), testing::FailsWith(absl::StatusCode::kInvalidArgument,
                                                     reason::kInvalidArgument, "cannot be used"));
}

}  // namespace
}  // namespace seer
