// Webhooks over a real HTTP server that fails first.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/hmac.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/http_server.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

v1::JobSpec Telling(const std::string& name, const std::string& url,
                    const std::vector<std::string>& events = {}) {
  v1::JobSpec spec = SmallSpec(name, 1);
  v1::WebhookSpec& webhook = *spec.mutable_alerts()->add_webhooks();
  webhook.set_url(url);
  for (const std::string& event : events) webhook.add_events(event);
  return spec;
}

TEST(Webhooks, ArePostedUntilTheyAreTakenWithASignature) {
  HttpServer server;
  server.Answer({503, 0, 500});
  Cluster cluster;
  cluster.webhook_secret_file = cluster.dir() / "secret";
  std::ofstream(cluster.webhook_secret_file) << "a key\n";
  cluster.Restart();
  ASSERT_OK_AND_ASSIGN(const v1::Job job, cluster.Create(Telling("told", server.url())));
  ASSERT_OK(cluster.Cancel("told"));
  const std::vector<HttpCall> calls = server.Calls(4);
  ASSERT_EQ(calls.size(), 4u);
  for (const HttpCall& call : calls) {
    EXPECT_EQ(call.method, "POST");
    EXPECT_EQ(call.path, "/hook");
    EXPECT_EQ(call.headers.at("content-type"), "application/json");
    EXPECT_EQ(call.headers.at("x-seer-signature"), "sha256=" + HmacSha256Hex("a key", call.body));
    EXPECT_EQ(call.body, calls[0].body) << "the same event";
  }
  const json body = json::parse(calls[3].body);
  EXPECT_EQ(body["event"]["type"], "job_state_changed");
  EXPECT_EQ(body["event"]["toState"], "CANCELLED");
  EXPECT_EQ(body["event"]["job"], job.name());
  EXPECT_EQ(body["event"]["number"], calls[3].headers.at("x-seer-event"));
  EXPECT_EQ(body["job"]["name"], "told");
  EXPECT_EQ(body["job"]["id"], job.name().substr(5));
  EXPECT_EQ(body["job"]["state"], "CANCELLED");
  EXPECT_THAT(calls[3].body, Not(HasSubstr(server.url())));
}

TEST(Webhooks, TellOnlyWhatIsWanted) {
  HttpServer server;
  Cluster cluster;
  ASSERT_OK(cluster.Create(Telling("some", server.url(), {"job_created", "PAUSED"})));
  ASSERT_OK(cluster.Pause("some"));
  ASSERT_OK(cluster.Resume("some"));
  ASSERT_OK(cluster.Pause("some"));
  const std::vector<HttpCall> calls = server.Calls(3);
  ASSERT_EQ(calls.size(), 3u);
  std::multiset<std::string> types;
  for (const HttpCall& call : calls) {
    types.insert(json::parse(call.body)["event"]["type"]);
    EXPECT_EQ(call.headers.count("x-seer-signature"), 0u) << "there is no key";
  }
  EXPECT_EQ(types.count("job_created"), 1u);
  EXPECT_EQ(types.count("job_state_changed"), 2u);
}

TEST(Webhooks, WhatIsRefusedForGoodIsAnEventOfTheJob) {
  HttpServer server;
  server.Answer({404});
  Cluster cluster;
  ASSERT_OK(cluster.Create(Telling("deaf", server.url() + "?token=secret")));
  ASSERT_OK(cluster.Cancel("deaf"));
  ASSERT_TRUE(Eventually([&] { return cluster.Events("deaf").back().type() == "webhook_failed"; }));
  const std::string message = cluster.Events("deaf").back().message();
  EXPECT_THAT(message, HasSubstr("it answered 404"));
  EXPECT_THAT(message, HasSubstr(server.url()));
  EXPECT_THAT(message, Not(HasSubstr("secret")));
  EXPECT_EQ(server.Calls(1).size(), 1u) << "it is not tried again";
}

// Told of by the URL as it was given, and shown to nobody; the masked spec may be given back.
TEST(Webhooks, TheirSecretsAreNotShownAndSurviveAJobThatIsSubmittedAgain) {
  HttpServer server;
  Cluster cluster;
  const std::string url = server.url() + "?token=s3cret";
  const auto shown = [](const v1::Job& job) { return job.DebugString(); };
  ASSERT_OK_AND_ASSIGN(const v1::Job made, cluster.Create(Telling("quiet", url, {"job_created"})));
  EXPECT_THAT(shown(made), Not(HasSubstr("s3cret")));
  ASSERT_OK_AND_ASSIGN(const v1::Job job, cluster.Get("quiet"));
  EXPECT_EQ(job.spec().alerts().webhooks(0).url(), server.url() + "?token=***");
  ASSERT_OK(cluster.Cancel("quiet"));
  ASSERT_OK(cluster.Create(job.spec()));
  const std::vector<HttpCall> calls = server.Calls(2);
  ASSERT_EQ(calls.size(), 2u);
  for (const HttpCall& call : calls) EXPECT_THAT(call.path, HasSubstr("token=s3cret"));
  v1::JobSpec other = job.spec();
  other.mutable_metadata()->set_name("other");
  EXPECT_THAT(cluster.Create(other),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "is masked"));
  other = job.spec();  // the same name, but another queue's users may not use it
  other.mutable_scheduling()->set_queue("elsewhere");
  EXPECT_THAT(cluster.Create(other),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "is masked"));
}

TEST(Webhooks, DoNotGoToLinkLocalAddresses) {
  Cluster cluster;
  EXPECT_THAT(cluster.Create(Telling("literal", "http://169.254.169.254/latest/meta-data")),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "metadata"));
  // Another way to write the same address: no rule of a spec sees it, the socket does.
  ASSERT_OK(cluster.Create(Telling("sly", "http://2852039166/latest/meta-data")));
  ASSERT_OK(cluster.Cancel("sly"));
  ASSERT_TRUE(Eventually([&] { return cluster.Events("sly").back().type() == "webhook_failed"; }));
  EXPECT_THAT(cluster.Events("sly").back().message(), HasSubstr("link-local"));
}

TEST(Webhooks, AKeyThatCannotBeReadStopsTheStart) {
  Cluster cluster;
  coordinator::ServerConfig config = cluster.Config();
  config.database = cluster.dir() / "other.db";
  for (const char* name : {"missing", "empty"}) {
    config.webhook_secret_file = cluster.dir() / name;
    if (std::string(name) == "empty") std::ofstream(config.webhook_secret_file) << "\n";
    EXPECT_THAT(coordinator::CoordinatorServer::Start(config),
                FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument,
                          "no secret can be read from " + config.webhook_secret_file));
  }
}

TEST(Webhooks, RefuseWhatIsNoUrl) {
  Cluster cluster;
  for (const char* url : {"ftp://x/", "x", "http://", "http:///path", "http://a b/",
                          "http://[fe80::1]/", "https://u@169.254.0.1:8/"}) {
    EXPECT_THAT(
        cluster.Create(Telling("bad", url)),
        FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "alerts.webhooks[0].url"))
        << url;
  }
  EXPECT_THAT(cluster.Create(Telling("bad", "")),
              FailsWith(StatusCode::kInvalidArgument, reason::kMissingField, "url"));
  EXPECT_THAT(cluster.Create(Telling("bad", "http://a/", {"not a word"})),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "events"));
}

}  // namespace
}  // namespace seer::testing
