// The table of methods against the services of the API.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/access/methods.h"
#include "seer/v1/jobs.pb.h"
#include "tests/support/status_matchers.h"

namespace seer::access {
namespace {

namespace fs = std::filesystem;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

class Api {
 public:
  Api() {
    const char* source = std::getenv("SEER_SOURCE_DIR");  // set by ctest
    if (source == nullptr) return;
    const fs::path root = fs::path(source) / "proto";
    for (const auto& entry : fs::recursive_directory_iterator(root / "seer")) {
      if (entry.path().extension() != ".proto") continue;
      const auto* file = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(
          fs::relative(entry.path(), root).string());
      EXPECT_NE(file, nullptr) << entry.path() << " is not linked into this test";
      for (int s = 0; file != nullptr && s < file->service_count(); ++s)
        for (int m = 0; m < file->service(s)->method_count(); ++m)
          methods_.insert(file->service(s)->method(m));
    }
  }
  const std::set<const google::protobuf::MethodDescriptor*>& methods() const { return methods_; }

 private:
  std::set<const google::protobuf::MethodDescriptor*> methods_;
};

std::string NameOf(const google::protobuf::MethodDescriptor& method) {
  return absl::StrCat(method.service()->full_name(), "/", method.name());
}

TEST(Methods, EachHasARoleAndNoneIsMadeUp) {
  const Api api;
  ASSERT_GT(api.methods().size(), 50u) << "run by ctest";
  std::set<std::string> names;
  for (const auto* method : api.methods()) {
    names.insert(NameOf(*method));
    EXPECT_NE(FindMethod(NameOf(*method)), nullptr)
        << NameOf(*method) << " needs a line in common/access/methods.cc: who may call it?";
  }
  for (const MethodRule& rule : AllMethods())
    EXPECT_TRUE(names.contains(rule.method)) << rule.method;
  EXPECT_EQ(names.size(), AllMethods().size());
}

// A path that leads nowhere would let a bound role in, or leave the audit without a resource.
TEST(Methods, PathsLeadToFieldsOfTheRequest) {
  const Api api;
  for (const auto* method : api.methods()) {
    const MethodRule* const rule = FindMethod(NameOf(*method));
    if (rule == nullptr || *rule->path == '\0') continue;
    const Descriptor* at = method->input_type();
    const FieldDescriptor* field = nullptr;
    for (const auto part : absl::StrSplit(rule->path, '.')) {
      ASSERT_NE(at, nullptr) << rule->method;
      field = at->FindFieldByName(std::string(part));
      ASSERT_NE(field, nullptr) << rule->method << " has no " << rule->path;
      at = field->message_type();
    }
    if (rule->about == About::kSpec) {
      EXPECT_EQ(at->full_name(), "seer.v1.JobSpec") << rule->method;
    } else if (rule->about == About::kBinding) {
      EXPECT_NE(at->FindFieldByName("queue"), nullptr) << rule->method;
      EXPECT_NE(at->FindFieldByName("pool"), nullptr) << rule->method;
    } else {
      EXPECT_EQ(field->type(), FieldDescriptor::TYPE_STRING) << rule->method;
    }
  }
}

TEST(Methods, WhatIsCalledToChangeChangesAndIsAudited) {
  const Api api;
  for (const auto* method : api.methods()) {
    const MethodRule* const rule = FindMethod(NameOf(*method));
    if (rule == nullptr) continue;
    const std::string& name = method->name();
    const auto begins = [&](const char* word) { return name.rfind(word, 0) == 0; };
    if (begins("Get") || begins("List") || begins("Watch") || begins("Find")) {
      EXPECT_FALSE(rule->changes) << rule->method;
    }
    if (begins("Create") || begins("Update") || begins("Delete") || begins("Cancel") ||
        begins("Revoke")) {
      EXPECT_TRUE(rule->changes) << rule->method;
      EXPECT_GT(rule->least, Role::kViewer) << rule->method;
    }
  }
}

TEST(Roles, BoundOnesCoverWhatLiesWithinAll) {
  const auto target = [](const char* queue, const char* pool) {
    Target t;
    if (*queue != '\0') t.queue = queue;
    if (*pool != '\0') t.pool = pool;
    return t;
  };
  Target cluster;
  cluster.bound = false;
  const Grant all{Role::kAdmin, "", ""}, queue{Role::kAdmin, "q", ""}, both{Role::kAdmin, "q", "p"};
  EXPECT_TRUE(Covers(all, cluster, true));
  EXPECT_FALSE(Covers(queue, cluster, false));
  EXPECT_TRUE(Covers(queue, target("q", "any"), true));
  EXPECT_FALSE(Covers(queue, target("r", ""), false));
  EXPECT_FALSE(Covers(queue, target("", "p"), true)) << "not known to be in its queue";
  EXPECT_TRUE(Covers(queue, target("", "p"), false)) << "reading does no harm there";
  EXPECT_TRUE(Covers(both, target("q", "p"), true));
  EXPECT_FALSE(Covers(both, target("q", "o"), true));
}

TEST(Roles, AreWrittenInOneWay) {
  EXPECT_EQ(*ParseGrant("admin"), (Grant{Role::kAdmin, "", ""}));
  EXPECT_EQ(*ParseGrant("submitter@queue:a@pool:b"), (Grant{Role::kSubmitter, "a", "b"}));
  for (const char* wrong :
       {"", "king", "viewer@", "viewer@queue:", "viewer@job:a", "viewer@queue:a@queue:b"})
    EXPECT_THAT(ParseGrant(wrong).status(), testing::FailsWith(absl::StatusCode::kInvalidArgument,
                                                               reason::kInvalidArgument, ""))
        << wrong;
}

TEST(Roles, ASpecIsInItsQueueAndPool) {
  v1::JobSpec spec;
  EXPECT_EQ(TargetOfSpec(spec).queue, "default");
  EXPECT_EQ(TargetOfSpec(spec).pool, std::nullopt);
  spec.mutable_scheduling()->set_queue("q");
  spec.mutable_data()->set_pool("p");
  EXPECT_EQ(TargetOfSpec(spec).queue, "q");
  EXPECT_EQ(TargetOfSpec(spec).pool, "p");
  spec.mutable_eval()->set_train_pool("r");
  EXPECT_EQ(TargetOfSpec(spec).pool, std::nullopt) << "not in one alone";
}

}  // namespace
}  // namespace seer::access
