#include "client/context.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "client/context_file.h"
#include "client/local_context.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::client {
namespace {

using ::seer::testing::FailsWith;

constexpr const char* kVariables[] = {"SEER_COORDINATOR", "SEER_DATASERVICE", "SEER_TOKEN",
                                      "SEER_TLS_CA", "SEER_CONTEXT"};

class ContextTest : public ::testing::Test {
 protected:
  ContextTest() {
    setenv("SEER_CONFIG", path_.c_str(), 1);
    for (const char* variable : kVariables) unsetenv(variable);
  }
  ~ContextTest() override {
    unsetenv("SEER_CONFIG");
    for (const char* variable : kVariables) unsetenv(variable);
  }
  // Into the file, as the current one.
  static absl::Status SaveContext(const Context& context) {
    return EditContexts([&](Contexts& contexts) {
      contexts.Put(context);
      contexts.current = context.name;
      return absl::OkStatus();
    });
  }
  std::string Text() const {
    std::stringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }
  static Context Login(const ContextFlags& flags) {
    const auto saved = ReadContexts();
    EXPECT_TRUE(saved.ok()) << saved.status();
    const auto context = LoginContext(flags, *saved);
    EXPECT_TRUE(context.ok()) << context.status();
    return context.ok() ? *context : Context{};
  }
  void Write(const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(path_).parent_path());
    std::ofstream(path_) << text;
  }
  testing::TempDir dir_;
  const std::string path_ = dir_ / "not/there/yet/config.yaml";
};

TEST_F(ContextTest, WithoutAFileThereAreNoAddresses) {
  ASSERT_OK_AND_ASSIGN(const Context context, LoadContext({}));
  EXPECT_TRUE(context.coordinator.empty());
  EXPECT_TRUE(context.dataservice.empty());
}

TEST_F(ContextTest, WhatWasSavedIsReadAgainAndOtherContextsStay) {
  ASSERT_OK(SaveContext({"lab", "lab:7070", {"lab:7080"}}));
  ASSERT_OK(SaveContext({"local", "127.0.0.1:1", {"127.0.0.1:2", "127.0.0.1:3"}}));
  ASSERT_OK_AND_ASSIGN(const Context context, LoadContext({}));
  EXPECT_EQ(context.name, "local");
  EXPECT_EQ(context.coordinator, "127.0.0.1:1");
  EXPECT_EQ(context.dataservice, (std::vector<std::string>{"127.0.0.1:2", "127.0.0.1:3"}));
  std::stringstream text;
  text << std::ifstream(path_).rdbuf();
  EXPECT_NE(text.str().find("lab:7070"), std::string::npos) << text.str();
}

TEST_F(ContextTest, ATokenAndFilesOfTlsAreKeptForTheUserAlone) {
  Context saved{"lab", "lab:7070", {"lab:7080"}};
  saved.security.token = "of-the-file";
  saved.security.ca = "/ca.pem";
  ASSERT_OK(SaveContext(saved));
  EXPECT_EQ(std::filesystem::status(path_).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  ASSERT_OK_AND_ASSIGN(Context context, LoadContext({}));
  EXPECT_EQ(context.security.token, "of-the-file");
  EXPECT_EQ(context.security.ca, "/ca.pem");
  setenv("SEER_TOKEN", "of-the-environment", 1);
  setenv("SEER_TLS_CA", "/environment.pem", 1);
  ContextFlags flags;
  flags.security.token_file = "file";
  flags.security.key = "/flag.key";
  ASSERT_OK_AND_ASSIGN(context, LoadContext(flags));
  EXPECT_EQ(context.security.token, "of-the-environment");
  EXPECT_EQ(context.security.token_file, "file");
  EXPECT_EQ(context.security.ca, "/environment.pem");
  EXPECT_EQ(context.security.key, "/flag.key");
  ASSERT_OK_AND_ASSIGN(const Contexts contexts, ReadContexts());
  EXPECT_EQ(contexts.Find("lab")->security.token, "of-the-file");
}

TEST_F(ContextTest, AnEmptyTokenDoesNotBecomeTheOneOfTheFile) {
  Context saved{"lab", "lab:7070", {"lab:7080"}};
  saved.security.token = "of-an-admin";
  ASSERT_OK(SaveContext(saved));
  setenv("SEER_TOKEN", "", 1);
  const absl::Status refused = LoadContext({}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.message(), "SEER_TOKEN is set, but empty");
  ContextFlags flags;
  flags.security.token_file = "file";
  EXPECT_OK(LoadContext(flags).status()) << "which token is meant is said";
  unsetenv("SEER_TOKEN");
  EXPECT_OK(LoadContext({}).status());
}

TEST_F(ContextTest, KeysThatThisVersionDoesNotKnowStayInTheFile) {
  Write("theme: dark\ncontexts:\n  lab: {coordinator: a:1, token: secret}\n");
  ASSERT_OK(SaveContext({"local", "127.0.0.1:1", {}}));
  std::stringstream text;
  text << std::ifstream(path_).rdbuf();
  EXPECT_NE(text.str().find("theme: dark"), std::string::npos) << text.str();
  EXPECT_NE(text.str().find("secret"), std::string::npos) << text.str();
}

TEST_F(ContextTest, FlagsWinOverTheEnvironmentWhichWinsOverTheFile) {
  ASSERT_OK(SaveContext({"local", "file:1", {"file:2"}}));
  setenv("SEER_COORDINATOR", "environment:1", 1);
  setenv("SEER_DATASERVICE", "environment:2,environment:3", 1);
  ASSERT_OK_AND_ASSIGN(Context context, LoadContext({}));
  EXPECT_EQ(context.coordinator, "environment:1");
  EXPECT_EQ(context.dataservice, (std::vector<std::string>{"environment:2", "environment:3"}));
  ASSERT_OK_AND_ASSIGN(context, LoadContext({"flag:1", {"flag:2"}}));
  EXPECT_EQ(context.coordinator, "flag:1");
  EXPECT_EQ(context.dataservice, (std::vector<std::string>{"flag:2"}));
}

TEST_F(ContextTest, ANamedContextIsTakenAsItStands) {
  Context lab{"lab", "lab:7070", {}};
  lab.security.token = "of-lab";
  ASSERT_OK(SaveContext(lab));
  ASSERT_OK(SaveContext({"local", "127.0.0.1:1", {"127.0.0.1:2"}}));
  setenv("SEER_CONTEXT", "lab", 1);
  ASSERT_OK_AND_ASSIGN(Context context, LoadContext({}));
  EXPECT_EQ(context.coordinator, "lab:7070");
  setenv("SEER_COORDINATOR", "environment:1", 1);
  setenv("SEER_TOKEN", "of-the-environment", 1);
  ASSERT_OK_AND_ASSIGN(context, LoadContext({}));
  EXPECT_EQ(context.coordinator, "environment:1");
  ContextFlags flags;
  flags.context = "local";
  ASSERT_OK_AND_ASSIGN(context, LoadContext(flags));
  EXPECT_EQ(context.coordinator, "127.0.0.1:1");
  EXPECT_EQ(context.security.token, "") << "the environment's is for another cluster";
  flags.dataservice = {"flag:2"};
  ASSERT_OK_AND_ASSIGN(context, LoadContext(flags));
  EXPECT_EQ(context.dataservice, std::vector<std::string>{"flag:2"});
  flags.context = "lap";
  EXPECT_THAT(LoadContext(flags), FailsWith(absl::StatusCode::kInvalidArgument,
                                            reason::kInvalidArgument, "no context 'lap'"));
  EXPECT_EQ(GetErrorDetail(LoadContext(flags).status())->hint, "did you mean 'lab'?");
}

TEST_F(ContextTest, ALoginElsewhereTakesNothingOfTheCurrentCluster) {
  Context local{"local", "127.0.0.1:1", {"127.0.0.1:2"}};
  local.security.ca = "/local.pem";
  ASSERT_OK(SaveContext(local));
  Context context = Login({"head:7070"});
  EXPECT_EQ(context.name, "head");
  EXPECT_TRUE(context.dataservice.empty());
  EXPECT_EQ(context.security.ca, "");
  EXPECT_EQ(Login({"head:7171,other:7171"}).name, "head-7171");
  EXPECT_EQ(Login({"[2001:db8::1]:7070"}).name, "2001-db8--1");
  EXPECT_EQ(Login({"local:7070"}).name, "local-7070");
  setenv("SEER_COORDINATOR", "other:7070", 1);
  setenv("SEER_DATASERVICE", "other:7080", 1);
  EXPECT_TRUE(Login({"head:7070"}).dataservice.empty()) << "the environment's is of other";
  context = Login({});
  EXPECT_EQ(context.name, "other");
  EXPECT_EQ(context.dataservice, std::vector<std::string>{"other:7080"});
  ContextFlags named{"head:7070"};
  named.context = "lab";
  EXPECT_EQ(Login(named).name, "lab");
  ASSERT_OK_AND_ASSIGN(const Contexts saved, ReadContexts());
  for (const char* name : {"local", "no name", "-x"}) {
    named.context = name;
    EXPECT_THAT(LoginContext(named, saved),
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, name));
  }
}

TEST_F(ContextTest, ALoginWithoutACoordinatorIsToTheContextThatIsMeant) {
  EXPECT_THAT(LoginContext({}, {}), FailsWith(absl::StatusCode::kUnavailable,
                                              reason::kServiceUnreachable, "coordinator"));
  ASSERT_OK(SaveContext({"lab", "lab:7070", {"lab:7080"}}));
  ASSERT_OK(SaveContext({"head", "head:7070", {"head:7080"}}));
  EXPECT_EQ(Login({}).dataservice, std::vector<std::string>{"head:7080"});
  ContextFlags flags;
  flags.context = "lab";
  EXPECT_EQ(Login(flags).coordinator, "lab:7070");
  ASSERT_OK_AND_ASSIGN(const Contexts saved, ReadContexts());
  EXPECT_EQ(ContextName("head:7070", saved), "head");
  EXPECT_EQ(ContextName("lab:7070,lab2:7070", saved), "lab");
  ASSERT_OK(SaveContext({"far", "elsewhere:7070", {}}));
  ASSERT_OK_AND_ASSIGN(const Contexts more, ReadContexts());
  EXPECT_EQ(ContextName("far:7070", more), "far-7070") << "'far' is another cluster's";
}

TEST_F(ContextTest, ALocalClusterComesAndGoesAndTheContextBeforeItIsBack) {
  ASSERT_OK(SaveContext({"lab", "lab:7070", {}}));
  const Context local{"local", "127.0.0.1:1", {"127.0.0.1:2"}};
  ::testing::internal::CaptureStderr();
  ASSERT_OK(EnterLocalContext(local));
  ASSERT_OK(EnterLocalContext(local));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "the context is now 'local'; `seer context use lab` goes back\n");
  ASSERT_OK_AND_ASSIGN(Contexts contexts, ReadContexts());
  EXPECT_EQ(contexts.current, "local");
  EXPECT_EQ(contexts.previous, "lab");
  ASSERT_OK(LeaveLocalContext("127.0.0.1:9")) << "of another folder's cluster";
  ASSERT_OK_AND_ASSIGN(contexts, ReadContexts());
  EXPECT_EQ(contexts.current, "local");
  ::testing::internal::CaptureStderr();
  ASSERT_OK(LeaveLocalContext("127.0.0.1:1"));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "the context is 'lab' again\n");
  ASSERT_OK_AND_ASSIGN(contexts, ReadContexts());
  EXPECT_EQ(contexts.current, "lab");
  EXPECT_EQ(contexts.Names(), std::vector<std::string>{"lab"});
  EXPECT_EQ(contexts.previous, "");
}

TEST_F(ContextTest, ATokenInTheLocalContextIsNotForgottenWithoutAWord) {
  Context merged{"local", "head:7070", {"127.0.0.1:2"}};
  merged.security.token = "secret";
  ASSERT_OK(SaveContext(merged));
  ::testing::internal::CaptureStderr();
  ASSERT_OK(EnterLocalContext({"local", "127.0.0.1:1", {}}));
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("seer auth login --coordinator head:7070"), std::string::npos) << said;
  EXPECT_EQ(said.find("secret"), std::string::npos);
  EXPECT_EQ(Text().find("secret"), std::string::npos);
  ASSERT_OK(LeaveLocalContext("127.0.0.1:1"));
  ASSERT_OK_AND_ASSIGN(const Contexts contexts, ReadContexts());
  EXPECT_EQ(contexts.current, "") << "there was none before";
}

TEST_F(ContextTest, AddressesMayBeAListOrATextWithCommas) {
  Write("current: a\ncontexts:\n  a: {coordinator: [x:1, y:1], dataservice: 'd:1, e:1'}\n");
  ASSERT_OK_AND_ASSIGN(const Context context, LoadContext({}));
  EXPECT_EQ(context.coordinator, "x:1,y:1");
  EXPECT_EQ(context.dataservice, (std::vector<std::string>{"d:1", "e:1"}));
}

TEST_F(ContextTest, ABrokenFileIsNamed) {
  Write("current: [never closed\n");
  EXPECT_THAT(LoadContext({}),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kYamlSyntax, path_));
  EXPECT_FALSE(SaveContext({"local", "a:1", {}}).ok()) << "it must not be overwritten";
  Write("current: {a: map}\n");
  EXPECT_THAT(LoadContext({}),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kWrongType, path_));
  Write("just a sentence\n");
  EXPECT_THAT(SaveContext({"local", "a:1", {}}),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kWrongType, path_));
}

TEST_F(ContextTest, ACurrentContextThatIsNotThereHasNoAddresses) {
  Write("current: gone\n");
  ASSERT_OK_AND_ASSIGN(const Context context, LoadContext({}));
  EXPECT_TRUE(context.coordinator.empty());
}

TEST_F(ContextTest, TheFileIsTheUsersOwn) {
  ASSERT_OK(SaveContext({"local", "a:1", {}}));
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(std::filesystem::path(path_).parent_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 022, 0u) << "others may not change it";
}

TEST_F(ContextTest, AFolderThatCannotBeMadeIsAnError) {
  std::ofstream(dir_ / "file") << "x";
  setenv("SEER_CONFIG", (dir_ / "file/config.yaml").c_str(), 1);
  EXPECT_THAT(SaveContext({"local", "a:1", {}}),
              FailsWith(absl::StatusCode::kUnavailable, reason::kStorageFailed, "file/config"));
}

}  // namespace
}  // namespace seer::client
