// What clients of v1 rest on: no message, field, method or enum value of api_v1.golden may go, get
// another number or type. What is new is added by SEER_REGENERATE=1.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/api/api_files.h"

namespace seer {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using ::testing::IsEmpty;

// Lines "field seer.v1.Job.name = 1 string", each true of these files.
class Lines {
 public:
  explicit Lines(const google::protobuf::FileDescriptorSet& files) {
    google::protobuf::DescriptorPool pool;
    for (const auto& file : files.file()) {
      const auto* built = pool.BuildFile(file);
      if (built == nullptr || !absl::StartsWith(built->package(), "seer.")) continue;
      for (int i = 0; i < built->message_type_count(); ++i) Add(*built->message_type(i));
      for (int i = 0; i < built->enum_type_count(); ++i) Add(*built->enum_type(i));
      for (int i = 0; i < built->service_count(); ++i) {
        const auto& service = *built->service(i);
        for (int j = 0; j < service.method_count(); ++j) {
          const auto& method = *service.method(j);
          lines_.insert(absl::StrCat(
              "method ", method.full_name(), " (", method.client_streaming() ? "stream " : "",
              method.input_type()->full_name(), ") ", method.server_streaming() ? "stream " : "",
              method.output_type()->full_name()));
        }
      }
    }
  }
  const std::set<std::string>& all() const { return lines_; }

 private:
  static std::string TypeOf(const FieldDescriptor& field) {
    std::string type = field.type_name();
    if (field.message_type() != nullptr) type = field.message_type()->full_name();
    if (field.enum_type() != nullptr) type = field.enum_type()->full_name();
    if (field.is_repeated()) type = absl::StrCat("repeated ", type);
    if (field.has_optional_keyword()) type = absl::StrCat("optional ", type);
    if (field.real_containing_oneof() != nullptr)
      absl::StrAppend(&type, " of ", field.real_containing_oneof()->name());
    return type;
  }
  void Add(const Descriptor& message) {
    lines_.insert(absl::StrCat("message ", message.full_name()));
    for (int i = 0; i < message.field_count(); ++i) {
      const FieldDescriptor& field = *message.field(i);
      lines_.insert(
          absl::StrCat("field ", field.full_name(), " = ", field.number(), " ", TypeOf(field)));
    }
    for (int i = 0; i < message.nested_type_count(); ++i) Add(*message.nested_type(i));
    for (int i = 0; i < message.enum_type_count(); ++i) Add(*message.enum_type(i));
  }
  void Add(const EnumDescriptor& values) {
    for (int i = 0; i < values.value_count(); ++i) {
      lines_.insert(absl::StrCat("value ", values.full_name(), ".", values.value(i)->name(), " = ",
                                 values.value(i)->number()));
    }
  }

  std::set<std::string> lines_;
};

google::protobuf::FileDescriptorSet Files() {
  google::protobuf::FileDescriptorSet files;
  files.ParseFromString(std::string(Protoset()));
  return files;
}

// In `a` and not in `b`.
std::set<std::string> Without(const std::set<std::string>& a, const std::set<std::string>& b) {
  std::set<std::string> out;
  for (const std::string& line : a)
    if (b.count(line) == 0) out.insert(line);
  return out;
}

TEST(ApiGolden, NothingOfV1IsTakenAwayOrChanged) {
  const char* source = std::getenv("SEER_SOURCE_DIR");
  ASSERT_NE(source, nullptr) << "run by ctest";
  const std::string path = absl::StrCat(source, "/tests/unit/common/api/api_v1.golden");
  std::set<std::string> golden;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) golden.insert(line);
  const std::set<std::string> now = Lines(Files()).all();
  ASSERT_THAT(Without(golden, now), IsEmpty())
      << "clients of v1 break: leave what was there (reserve numbers of v2 elsewhere)";
  const std::set<std::string> added = Without(now, golden);
  if (std::getenv("SEER_REGENERATE") != nullptr) {
    std::ofstream out(path);
    for (const std::string& line : now) out << line << "\n";
    return;
  }
  EXPECT_THAT(added, IsEmpty()) << "new in v1, for good: once it is as it should be, run this test "
                                   "with SEER_REGENERATE=1 and commit "
                                << path;
}

// That the test above would see it.
TEST(ApiGolden, SeesEveryKindOfBreak) {
  const google::protobuf::FileDescriptorSet good = Files();
  const std::set<std::string> before = Lines(good).all();
  const auto broken_by = [&](auto change) {
    google::protobuf::FileDescriptorSet files = good;
    for (auto& file : *files.mutable_file())
      if (file.name() == "seer/v1/event_log.proto" || file.name() == "seer/v1/jobs.proto")
        change(file);
    return Without(before, Lines(files).all()).size();
  };
  using File = google::protobuf::FileDescriptorProto;
  EXPECT_EQ(broken_by([](File&) {}), 0u);
  EXPECT_GT(
      broken_by([](File& file) { file.mutable_message_type(0)->mutable_field()->RemoveLast(); }),
      0u);
  EXPECT_GT(
      broken_by([](File& file) { file.mutable_message_type(0)->mutable_field(0)->set_number(99); }),
      0u);
  EXPECT_GT(broken_by([](File& file) {
              for (auto& field : *file.mutable_message_type(0)->mutable_field())
                if (field.type() == google::protobuf::FieldDescriptorProto::TYPE_INT32)
                  field.set_type(google::protobuf::FieldDescriptorProto::TYPE_INT64);
            }),
            0u);
  EXPECT_GT(broken_by([](File& file) { file.mutable_service(0)->mutable_method()->RemoveLast(); }),
            0u);
  EXPECT_GT(broken_by([](File& file) {
              file.mutable_service(0)->mutable_method(0)->set_server_streaming(
                  !file.service(0).method(0).server_streaming());
            }),
            0u);
  EXPECT_GT(broken_by([](File& file) {
              if (file.enum_type_size() > 0)
                file.mutable_enum_type(0)->mutable_value(1)->set_number(77);
            }),
            0u);
}

}  // namespace
}  // namespace seer
