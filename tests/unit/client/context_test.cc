#include "client/context.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::client {
namespace {

using ::seer::testing::FailsWith;

class ContextTest : public ::testing::Test {
 protected:
  ContextTest() {
    setenv("SEER_CONFIG", path_.c_str(), 1);
    unsetenv("SEER_COORDINATOR");
    unsetenv("SEER_DATASERVICE");
  }
  ~ContextTest() override {
    unsetenv("SEER_CONFIG");
    unsetenv("SEER_COORDINATOR");
    unsetenv("SEER_DATASERVICE");
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
  ASSERT_OK_AND_ASSIGN(context, SavedContext());
  EXPECT_EQ(context.security.token, "of-the-file");
  unsetenv("SEER_TOKEN");
  unsetenv("SEER_TLS_CA");
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
