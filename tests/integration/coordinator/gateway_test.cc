// The HTTP gateway of a real coordinator: JSON in and out, errors, streams that go on where they
// were cut off, and pages of other sites that it must not serve.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/api/api_files.h"
#include "common/base/trainer_exit.h"
#include "common/http/http_client.h"
#include "common/metrics/registry.h"
#include "common/rpc/server.h"
#include "coordinator/http/http_front.h"
#include "seer/v1/event_log.grpc.pb.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/http_socket.h"
#include "tests/support/span_list.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kSmallSpec[] =
    R"({"spec": {"metadata": {"name": "NAME"}, "data": {"pool": "cats", "globalBatch": 8},
        "optim": {"steps": 20, "lr": 0.1}, "distributed": {"ranks": 2}}})";

class GatewayTest : public ::testing::Test {
 protected:
  GatewayTest() {
    cluster_.http = "127.0.0.1:0";
    cluster_.Restart();
  }

  struct Answer {
    int status = 0;
    json body;
    std::map<std::string, std::string> headers;
  };
  // By hand: any verb.
  Answer Call(const std::string& verb, const std::string& path, const std::string& body = "",
              const std::string& headers = "Content-Type: application/json\r\n") {
    HttpSocket socket(cluster_.http_port());
    socket.Send(absl::StrCat(verb, " ", path,
                             " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", headers,
                             "Content-Length: ", body.size(), "\r\n\r\n", body));
    const std::string text = socket.ReadAll();
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(text, absl::MaxSplits("\r\n\r\n", 1));
    Answer answer;
    for (const absl::string_view line : absl::StrSplit(parts.first, "\r\n")) {
      const std::pair<std::string, std::string> field =
          absl::StrSplit(line, absl::MaxSplits(": ", 1));
      answer.headers[field.first] = field.second;
    }
    EXPECT_TRUE(absl::SimpleAtoi(parts.first.substr(9, 3), &answer.status)) << text;
    answer.body = json::parse(parts.second, nullptr, false);
    return answer;
  }
  std::string Submit(const std::string& name) {
    const Answer made = Call("POST", "/v1/jobs", absl::StrReplaceAll(kSmallSpec, {{"NAME", name}}));
    EXPECT_EQ(made.status, 200) << made.body;
    return made.body.value("name", "");
  }
  static json Details(const Answer& answer) {
    return answer.body.value("error", json::object()).value("details", json::array());
  }
  static std::string Reason(const Answer& answer) {
    const json details = Details(answer);
    return details.empty() ? "" : details[0].value("reason", "");
  }
  static std::string Field(const Answer& answer) {
    const json details = Details(answer);
    return details.size() < 2 ? "" : details[1]["fieldViolations"][0].value("field", "");
  }

  Cluster cluster_;
};

TEST_F(GatewayTest, MakesShowsAndSteersAJob) {
  const std::string name = Submit("first");
  ASSERT_THAT(name, StartsWith("jobs/"));
  const Answer shown = Call("GET", "/v1/" + name);
  EXPECT_EQ(shown.status, 200);
  EXPECT_EQ(shown.headers.at("Content-Type"), "application/json");
  EXPECT_EQ(shown.body["state"], "JOB_STATE_QUEUED");
  EXPECT_EQ(shown.body["spec"]["metadata"]["name"], "first");
  EXPECT_EQ(Call("GET", "/v1/jobs/first").body["name"], name);
  EXPECT_EQ(Call("POST", "/v1/" + name + ":pause").body["state"], "JOB_STATE_PAUSED");
  EXPECT_EQ(Call("POST", "/v1/" + name + ":resume", "{}").body["state"], "JOB_STATE_QUEUED");
  const Answer changed = Call("PATCH", "/v1/" + name + "?updateMask=scheduling.priority",
                              R"({"spec": {"scheduling": {"priority": 7}}})");
  EXPECT_EQ(changed.status, 200) << changed.body;
  EXPECT_EQ(changed.body["spec"]["scheduling"]["priority"], 7);
  EXPECT_EQ(Call("POST", "/v1/" + name + ":cancel").body["state"], "JOB_STATE_CANCELLED");
  EXPECT_EQ(Call("POST", "/v1/jobs:plan", absl::StrReplaceAll(kSmallSpec, {{"NAME", "x"}}))
                .body["wait"]["reason"],
            "no_workers");
}

TEST_F(GatewayTest, ARequestIsPartOfTheTraceThatItBrings) {
  constexpr char kTraceId[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  SpanList spans;
  EXPECT_EQ(Call("GET", "/v1/jobs", "", absl::StrCat("traceparent: ", kTraceId, "\r\n")).status,
            200);
  std::vector<SpanRecord> made = spans.Take(1);
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(made[0].name, "seer.v1.Jobs/ListJobs");
  EXPECT_EQ(made[0].parent_span, TraceContextOf(kTraceId).span);
  EXPECT_EQ(made[0].context.trace_high, TraceContextOf(kTraceId).trace_high);
  EXPECT_EQ(Call("GET", "/v1/jobs", "", "traceparent: caf\xe9\r\n").status, 200);
  made = spans.Take(1);
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(made[0].parent_span, 0u);
}

TEST_F(GatewayTest, ListsInPages) {
  std::vector<std::string> names;
  for (const char* name : {"a", "b", "c"}) names.push_back(Submit(name));
  const Answer first = Call("GET", "/v1/jobs?pageSize=2");
  ASSERT_EQ(first.body["jobs"].size(), 2u) << first.body;
  EXPECT_EQ(first.body["jobs"][0]["name"], names[2]);
  const std::string token = first.body["nextPageToken"];
  const Answer second = Call("GET", absl::StrCat("/v1/jobs?page_size=2&page_token=", token));
  ASSERT_EQ(second.body["jobs"].size(), 1u) << second.body;
  EXPECT_EQ(second.body["jobs"][0]["name"], names[0]);
  EXPECT_FALSE(second.body.contains("nextPageToken"));
  Call("POST", "/v1/" + names[0] + ":cancel");
  const Answer some = Call("GET", "/v1/jobs?states=JOB_STATE_CANCELLED&states=JOB_STATE_FAILED");
  EXPECT_EQ(some.body["jobs"].size(), 1u) << some.body;
}

TEST_F(GatewayTest, TakesAResourceAsItsBody) {
  const Answer made =
      Call("POST", "/v1/queues", R"({"name": "queues/night", "quotaDevices": "4"})");
  ASSERT_EQ(made.status, 200) << made.body;
  EXPECT_EQ(made.body["quotaDevices"], "4");
  const Answer changed =
      Call("PATCH", "/v1/queues/night?update_mask=max_preemptions_per_hour,weight",
           R"({"weight": 3, "maxPreemptionsPerHour": 5})");
  ASSERT_EQ(changed.status, 200) << changed.body;
  EXPECT_EQ(changed.body["weight"], 3);
  EXPECT_EQ(changed.body["maxPreemptionsPerHour"], 5);
  EXPECT_EQ(Call("DELETE", absl::StrCat("/v1/queues/night?etag=", "none")).status, 409);
  EXPECT_EQ(Call("DELETE", "/v1/queues/night").body["name"], "queues/night");
  EXPECT_EQ(Call("GET", "/v1/queues/night").status, 404);
}

TEST_F(GatewayTest, BytesThatAreNoUtf8AreRefusedWithAText) {
  for (const char* target :
       {"/v1/jobs/%ff%fe", "/v1/jobs?pageToken=%ff", "/v1/jobs?%ff=1", "/v1/queues/a%c3"}) {
    const Answer answer = Call("GET", target);
    EXPECT_EQ(answer.status, 400) << target << answer.body;
    EXPECT_THAT(answer.body["error"]["message"].get<std::string>(), HasSubstr("not UTF-8"));
    EXPECT_EQ(Reason(answer), "INVALID_ARGUMENT");
  }
  EXPECT_EQ(Call("GET", "/v1/jobs/caf%c3%a9").status, 404) << "UTF-8 is looked up";
}

TEST_F(GatewayTest, ErrorsSayTheReasonTheFieldAndWhatToDo) {
  const Answer missing = Call("GET", "/v1/jobs/nosuch");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.body["error"]["code"], 404);
  EXPECT_EQ(missing.body["error"]["status"], "NOT_FOUND");
  EXPECT_EQ(Reason(missing), "JOB_NOT_FOUND");
  EXPECT_EQ(Field(missing), "name");
  EXPECT_EQ(missing.body["error"]["details"][0]["@type"],
            "type.googleapis.com/google.rpc.ErrorInfo");
  EXPECT_EQ(missing.body["error"]["details"][0]["metadata"]["hint"],
            "`seer job list` shows the jobs");

  Submit("same");
  const Answer taken =
      Call("POST", "/v1/jobs", absl::StrReplaceAll(kSmallSpec, {{"NAME", "same"}}));
  EXPECT_EQ(taken.status, 409);
  EXPECT_EQ(Reason(taken), "JOB_NAME_TAKEN");
  Call("POST", "/v1/jobs/same:cancel");
  const Answer state = Call("POST", "/v1/jobs/same:resume");
  EXPECT_EQ(state.status, 400);
  EXPECT_EQ(Reason(state), "WRONG_JOB_STATE");
  // The data service is not there.
  const Answer away = Call("GET", "/v1/pools");
  EXPECT_EQ(away.status, 503) << away.body;
  EXPECT_EQ(Reason(away), "SERVICE_UNREACHABLE");
  EXPECT_EQ(away.headers.count("Retry-After"), 1u);
}

struct BadCall {
  const char *verb, *path, *body, *headers;
  int status;
  const char *reason, *field, *piece;
};

TEST_F(GatewayTest, SaysWhatIsWrongWithARequest) {
  constexpr char kJson[] = "Content-Type: application/json\r\n";
  const BadCall calls[] = {
      {"GET", "/v1/jbos", "", kJson, 404, "PATH_NOT_FOUND", "", "/openapi.json"},
      {"GET", "/v1/jobs/a/b/c", "", kJson, 404, "PATH_NOT_FOUND", "", "/openapi.json"},
      {"PUT", "/v1/jobs", "", kJson, 405, "PATH_NOT_FOUND", "", "POST or GET"},
      {"POST", "/v1/jobs/a:paws", "", kJson, 405, "PATH_NOT_FOUND", "", "takes GET or PATCH"},
      {"GET", "/v1/jobs?pageSzie=1", "", kJson, 400, "UNKNOWN_KEY", "pageSzie", "pageSize"},
      {"GET", "/v1/jobs?pageSize=many", "", kJson, 400, "WRONG_TYPE", "", "many"},
      {"GET", "/v1/jobs?pageSize=1&pageSize=2", "", kJson, 400, "WRONG_TYPE", "pageSize", "twice"},
      {"GET", "/v1/jobs?states=NONE", "", kJson, 400, "WRONG_TYPE", "", "NONE"},
      {"GET", "/v1/jobs?pageToken=x", "", kJson, 400, "INVALID_PAGE_TOKEN", "page_token", ""},
      {"POST", "/v1/jobs", "{", kJson, 400, "WRONG_TYPE", "", ""},
      {"POST", "/v1/jobs", R"({"spec": {"optm": {}}})", kJson, 400, "UNKNOWN_KEY", "spec.optm",
       "optm"},
      {"POST", "/v1/jobs", R"({"spec": {"optim": {"steps": "x"}}})", kJson, 400, "WRONG_TYPE", "",
       "\"x\""},
      {"POST", "/v1/jobs", "{}", "", 400, "INVALID_ARGUMENT", "", "Content-Type"},
      {"POST", "/v1/jobs", "{}", "Content-Type: text/plain\r\n", 400, "INVALID_ARGUMENT", "",
       "Content-Type: application/json"},
      {"POST", "/v1/jobs?requestId=1", "{}", kJson, 400, "INVALID_ARGUMENT", "", "JSON"},
      {"GET", "/v1/jobs", "{}", kJson, 400, "INVALID_ARGUMENT", "", "no body"},
      {"GET", "/v1/events:watch", "", "Last-Event-ID: abc\r\n", 400, "WRONG_TYPE", "",
       "Last-Event-ID"},
      {"GET", "/v1/events:watch?afterNumber=-1", "", kJson, 400, "OUT_OF_RANGE", "after_number",
       ""},
      {"GET", "/v1/events:watch?newest=10001", "", kJson, 400, "OUT_OF_RANGE", "newest", ""},
      {"GET", "/v1/events:watch?job=nosuch", "", kJson, 404, "JOB_NOT_FOUND", "name", ""},
      {"GET", "/v1/jobs/nosuch/curve", "", kJson, 404, "JOB_NOT_FOUND", "name", ""},
      {"GET", "/v1/jobs/nosuch/logs?follow=true", "", kJson, 404, "JOB_NOT_FOUND", "name", ""},
  };
  for (const BadCall& call : calls) {
    const Answer answer = Call(call.verb, call.path, call.body, call.headers);
    const std::string text = answer.body.dump();
    EXPECT_EQ(answer.status, call.status) << call.path << " " << text;
    EXPECT_EQ(Reason(answer), call.reason) << call.path << " " << text;
    if (*call.field != 0) EXPECT_EQ(Field(answer), call.field) << call.path << " " << text;
    EXPECT_THAT(text,
                HasSubstr(json(call.piece).dump().substr(1, json(call.piece).dump().size() - 2)))
        << call.path;
    EXPECT_THAT(text, HasSubstr("hint")) << call.path << ": no remedy";
  }
  EXPECT_EQ(Call("PUT", "/v1/jobs").headers.at("Allow"), "POST, GET");
}

TEST_F(GatewayTest, RefusesWhatIsTooLarge) {
  const Answer head =
      Call("GET", "/v1/jobs", "", absl::StrCat("X: ", std::string(20000, 'a'), "\r\n"));
  EXPECT_EQ(head.status, 431);
  EXPECT_EQ(Reason(head), "REQUEST_TOO_LARGE");
  const Answer body = Call("POST", "/v1/jobs", std::string(5 << 20, ' '));
  EXPECT_EQ(body.status, 413);
  EXPECT_EQ(Reason(body), "REQUEST_TOO_LARGE");
}

TEST_F(GatewayTest, ServesNoPageOfAnotherSite) {
  const auto with = [&](const std::string& headers) {
    HttpSocket socket(cluster_.http_port());
    socket.Send(absl::StrCat("POST /v1/jobs:plan HTTP/1.1\r\nConnection: close\r\n", headers,
                             "Content-Length: 0\r\n\r\n"));
    return socket.ReadAll().substr(9, 3);
  };
  const std::string own = absl::StrCat("127.0.0.1:", cluster_.http_port());
  EXPECT_EQ(with(absl::StrCat("Host: ", own, "\r\nOrigin: http://", own, "\r\n")), "400");
  EXPECT_EQ(with(absl::StrCat("Host: ", own, "\r\nOrigin: http://evil.example\r\n")), "403");
  EXPECT_EQ(with(absl::StrCat("Host: ", own, "\r\nOrigin: null\r\n")), "403");
  // Its name was made to lead here.
  EXPECT_EQ(with("Host: evil.example\r\nOrigin: http://evil.example\r\n"), "403");
  EXPECT_EQ(with("Host: evil.example\r\n"), "403");
  EXPECT_EQ(with("Host: trusted.example:80\r\nOrigin: http://trusted.example:80\r\n"), "400");
}

TEST_F(GatewayTest, ServesThePageTheDocumentAndTheDescriptors) {
  for (const char* path : {"/", "/main.js", "/page.css", "/icon.svg", "/seer.protoset"}) {
    const Answer answer = Call("GET", path);
    EXPECT_EQ(answer.status, 200) << path;
    EXPECT_THAT(answer.headers.at("Content-Security-Policy"), StartsWith("default-src 'self'"));
  }
  EXPECT_EQ(Call("GET", "/").headers.at("Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(Call("GET", "/openapi.json").body, json::parse(OpenApi()));
  EXPECT_EQ(Call("POST", "/").status, 404);
}

// Lines of a stream of JSON, until it ends.
std::vector<json> Lines(const std::string& body) {
  std::vector<json> lines;
  for (const absl::string_view line : absl::StrSplit(body, '\n', absl::SkipEmpty()))
    lines.push_back(json::parse(line));
  return lines;
}

TEST_F(GatewayTest, StreamsLinesOfJson) {
  const std::string name = Submit("watched");
  Call("POST", "/v1/" + name + ":cancel");
  HttpRequest request;
  request.url = absl::StrCat("http://127.0.0.1:", cluster_.http_port(), "/v1/", name, ":watch");
  const auto watched = HttpClient().Do(request);
  ASSERT_OK(watched);
  EXPECT_EQ(watched->headers.at("content-type"), "application/x-ndjson");
  const std::vector<json> states = Lines(watched->body);
  ASSERT_EQ(states.size(), 1u);
  EXPECT_EQ(states[0]["state"], "JOB_STATE_CANCELLED");
  request.url = absl::StrCat("http://127.0.0.1:", cluster_.http_port(),
                             "/v1/events:watch?afterNumber=0&untilNow=true&job=watched");
  const auto events = HttpClient().Do(request);
  ASSERT_OK(events);
  EXPECT_EQ(Lines(events->body).front()["type"], "job_created");
  // The header beside fields of the query, which stay.
  request.url = absl::StrCat("http://127.0.0.1:", cluster_.http_port(),
                             "/v1/events:watch?untilNow=true&job=watched");
  request.headers = {"Last-Event-ID: 1"};
  const auto rest = HttpClient().Do(request);
  ASSERT_OK(rest);
  EXPECT_EQ(Lines(rest->body).size(), Lines(events->body).size() - 1);
}

TEST_F(GatewayTest, StreamsEventsAndSaysHowTheyEnd) {
  const std::string name = Submit("watched");
  HttpSocket socket(cluster_.http_port());
  socket.Send(absl::StrCat(
      "GET /v1/", name, ":watch HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"));
  EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), HasSubstr("Content-Type: text/event-stream\r\n"));
  socket.ReadUntil("data: {\"name\":\"" + name);
  Call("POST", "/v1/" + name + ":cancel");
  socket.ReadUntil("JOB_STATE_CANCELLED");
  socket.ReadUntil("event: end\ndata: {}\n\n");
  socket.ReadAll();
}

TEST_F(GatewayTest, SaysInAStreamThatItBroke) {
  HttpSocket socket(cluster_.http_port());
  socket.Send(
      "GET /v1/events:watch HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
  socket.ReadUntil("\r\n\r\n");  // at once, without an event
  cluster_.Stop();
  EXPECT_THAT(socket.ReadAll(), ::testing::AnyOf(HasSubstr("SHUTTING_DOWN"), IsEmpty()));
}

// One client over the life of two coordinators.
TEST_F(GatewayTest, EventsGoOnAfterARestartWithoutALossOrARepetition) {
  std::vector<int64_t> numbers;
  std::string last = "0";
  const auto follow = [&](size_t until) {
    HttpSocket socket(cluster_.http_port());
    socket.Send(
        absl::StrCat("GET /v1/events:watch HTTP/1.1\r\nHost: localhost\r\nAccept: "
                     "text/event-stream\r\nLast-Event-ID: ",
                     last, "\r\n\r\n"));
    while (numbers.size() < until) {
      socket.ReadUntil("id: ");
      const std::string block = socket.ReadUntil("\n\n");
      last = block.substr(0, block.find('\n'));
      int64_t number = 0;
      ASSERT_TRUE(absl::SimpleAtoi(last, &number)) << block;
      numbers.push_back(number);
      EXPECT_THAT(block, HasSubstr(absl::StrCat("\"number\":\"", number, "\"")));
    }
  };
  const auto happened = [&] {
    size_t count = 0;
    for (const char* name : {"a", "b", "c", "d"})
      if (const auto job = cluster_.Get(name); job.ok()) count += cluster_.Events(name).size();
    return count;
  };
  Submit("a");
  Submit("b");
  follow(happened());
  Call("POST", "/v1/jobs/a:cancel");  // while nobody watches
  cluster_.Restart();
  Submit("c");
  follow(happened() - 1);  // cut off before the last
  cluster_.Restart();
  Call("POST", "/v1/jobs/b:cancel");
  Submit("d");
  follow(happened());
  std::vector<int64_t> wanted;
  for (size_t i = 0; i < numbers.size(); ++i) wanted.push_back(static_cast<int64_t>(i) + 1);
  EXPECT_EQ(numbers, wanted);
  EXPECT_EQ(numbers.size(), happened());
}

TEST_F(GatewayTest, LogsGoOnBehindTheLineThatTheHeaderNames) {
  FakeAgent agent(cluster_.port(), FakeAgent::Options{});
  ASSERT_OK(cluster_.Create(SmallSpec("chatty", 1)));
  const internal::v1::Assign rank = agent.NextAssign();
  for (int i = 0; i < 3; ++i) agent.Log(rank, absl::StrCat("line ", i));
  agent.Exited(rank, kExitUserError, "INVALID_SPEC", "");
  const std::vector<v1::LogLine> lines = cluster_.Logs("chatty", /*follow=*/true);
  ASSERT_EQ(lines.size(), 3u);
  HttpSocket socket(cluster_.http_port());
  socket.Send(
      absl::StrCat("GET /v1/jobs/chatty/logs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                   "Accept: text/event-stream\r\nLast-Event-ID: ",
                   lines[0].position(), "\r\n\r\n"));
  const std::string answer = socket.ReadAll();
  EXPECT_THAT(answer, Not(HasSubstr("line 0")));
  EXPECT_THAT(answer, HasSubstr("\"text\":\"line 1\""));
  EXPECT_THAT(answer, HasSubstr(absl::StrCat("id: ", lines[2].position(), "\n")));
}

TEST_F(GatewayTest, BeginsWithTheNewestEvents) {
  Submit("a");
  Submit("b");
  const auto stub = v1::Events::NewStub(grpc::CreateChannel(
      absl::StrCat("127.0.0.1:", cluster_.port()), grpc::InsecureChannelCredentials()));
  const auto numbers = [&](const v1::WatchEventsRequest& request) {
    grpc::ClientContext context;
    const auto reader = stub->WatchEvents(&context, request);
    std::vector<int64_t> out;
    for (v1::Event event; reader->Read(&event);) out.push_back(event.number());
    EXPECT_OK(FromGrpc(reader->Finish()));
    return out;
  };
  v1::WatchEventsRequest request;
  request.set_until_now(true);
  EXPECT_THAT(numbers(request), IsEmpty());
  request.set_newest(1);
  EXPECT_THAT(numbers(request), ElementsAre(2));
  request.set_newest(10000);
  EXPECT_THAT(numbers(request), ElementsAre(1, 2));
  request.set_job("b");
  EXPECT_THAT(numbers(request), ElementsAre(2));
  request.set_after_number(2);
  EXPECT_THAT(numbers(request), IsEmpty());
}

TEST_F(GatewayTest, TakesNoMoreStreamsThanItMay) {
  std::vector<std::unique_ptr<HttpSocket>> open;
  const auto watch = [&] {
    open.push_back(std::make_unique<HttpSocket>(cluster_.http_port()));
    open.back()->Send("GET /v1/events:watch HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return open.back()->ReadUntil("\r\n\r\n").substr(9, 3);
  };
  for (int i = 0; i < coordinator::Gateway::kMaxStreams; ++i) ASSERT_EQ(watch(), "200");
  EXPECT_EQ(watch(), "429");
  EXPECT_EQ(Call("GET", "/v1/jobs").status, 200);
  open.clear();
  EXPECT_TRUE(Eventually([&] { return watch() == "200"; }));
}

// Lets in who has the token.
class GuardedWorkers final : public v1::Workers::Service {
  grpc::Status ListWorkers(grpc::ServerContext* context, const v1::ListWorkersRequest*,
                           v1::ListWorkersResponse*) override {
    const auto token = context->client_metadata().find("authorization");
    if (token != context->client_metadata().end() && token->second == "Bearer good")
      return grpc::Status::OK;
    return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "no such token");
  }
};

TEST(GatewayAuthorizationTest, TheServicesDecideByTheTokenThatIsHandedOn) {
  GuardedWorkers workers;
  MetricsRegistry metrics;
  const auto rpc = RpcServer::Start({}, {&workers}, metrics);
  ASSERT_OK(rpc);
  const auto front = coordinator::HttpFront::Start({}, (*rpc)->InProcess(), nullptr);
  ASSERT_OK(front);
  const auto get = [&](const std::string& headers) {
    HttpSocket socket((*front)->port());
    socket.Send(absl::StrCat("GET /v1/workers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
                             headers, "\r\n"));
    return socket.ReadAll();
  };
  EXPECT_THAT(get(""), StartsWith("HTTP/1.1 401 "));
  EXPECT_THAT(get(""), HasSubstr("WWW-Authenticate: Bearer\r\n"));
  EXPECT_THAT(get("Authorization: Bearer bad\r\n"), HasSubstr("UNAUTHENTICATED"));
  EXPECT_THAT(get("Authorization: Bearer good\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(GatewayTest, ShowsTheCurveOfAJobAlsoAfterARestart) {
  FakeAgent agent(cluster_.port(), {});
  ASSERT_TRUE(cluster_.WaitForWorkers(1));
  const std::string name = Submit("curve");
  const internal::v1::Assign assign = agent.NextAssign();
  agent.NextAssign();
  for (const int64_t step : {2, 4, 6}) ASSERT_OK(cluster_.Progress(assign, step));
  const auto steps = [&](const std::string& query = "") {
    std::vector<std::string> out;
    const Answer answer = Call("GET", "/v1/" + name + "/curve" + query);
    for (const json& point : answer.body.value("points", json::array()))
      out.push_back(point["step"]);
    return out;
  };
  EXPECT_TRUE(Eventually([&] { return steps().size() == 3; }));
  EXPECT_THAT(steps(), ElementsAre("2", "4", "6"));
  EXPECT_THAT(steps("?afterStep=2"), ElementsAre("4", "6"));
  EXPECT_THAT(steps("?maxPoints=2"), ElementsAre("2", "6"));
  EXPECT_EQ(Call("GET", "/v1/" + name + "/curve").body["points"][0]["loss"], 5.5);
  EXPECT_EQ(Reason(Call("GET", "/v1/" + name + "/curve?maxPoints=-1")), "OUT_OF_RANGE");
  agent.HangUp();
  cluster_.Restart();
  EXPECT_EQ(steps().size(), 3u);
}

}  // namespace
}  // namespace seer::testing
