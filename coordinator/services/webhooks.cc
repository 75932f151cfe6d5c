#include "coordinator/services/webhooks.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/base/await.h"
#include "common/base/hmac.h"
#include "common/base/log.h"
#include "common/spec/secrets.h"
#include "coordinator/core/job_states.h"
#include "coordinator/services/convert.h"

namespace seer::coordinator {
namespace {

std::string BodyOf(const Event& event, const Job& job) {
  std::string body;
  google::protobuf::util::MessageToJsonString(ToProto(event), &body);
  const nlohmann::json about = {
      {"id", job.id}, {"name", job.name}, {"state", StateName(job.state)}};
  return absl::StrCat("{\"event\":", body, ",\"job\":",
                      about.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), "}");
}

enum class Answer { kTaken, kTryAgain, kRefused };

Answer Judge(const absl::StatusOr<HttpResponse>& response) {
  if (!response.ok()) {
    const bool again = response.status().code() == absl::StatusCode::kUnavailable ||
                       response.status().code() == absl::StatusCode::kDeadlineExceeded;
    return again ? Answer::kTryAgain : Answer::kRefused;
  }
  if (response->status >= 200 && response->status < 300) return Answer::kTaken;
  const bool again = response->status >= 500 || response->status == 429 || response->status == 408;
  return again ? Answer::kTryAgain : Answer::kRefused;
}

}  // namespace

bool Wants(const v1::WebhookSpec& webhook, const Event& event) {
  if (event.type == "webhook_failed") return false;  // it would tell of itself
  for (const std::string& wanted : webhook.events())
    if (wanted == event.type || (!event.to.empty() && wanted == event.to)) return true;
  if (!webhook.events().empty()) return false;
  if (event.type == "attempt_ended") return event.failure != FailureClass::kNone;
  if (event.type == "health_alert" || event.type == "health_acted") return true;
  return event.to == StateName(JobState::kSucceeded) || event.to == StateName(JobState::kFailed) ||
         event.to == StateName(JobState::kCancelled);
}

Webhooks::Webhooks(WebhookOptions options, Clock& clock, CoordinatorMetrics& metrics, Failed failed)
    : options_(std::move(options)), clock_(clock), metrics_(metrics), failed_(std::move(failed)) {
  for (int i = 0; i < options_.threads; ++i) threads_.emplace_back("webhooks", [this] { Run(); });
}

Webhooks::~Webhooks() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  for (Thread& thread : threads_) thread.Join();
}

void Webhooks::Offer(const Event& event, const Job& job) {
  if (!job.numbers.webhooks) return;
  v1::JobSpec spec;
  if (!spec.ParseFromString(job.spec)) return;
  for (const v1::WebhookSpec& webhook : spec.alerts().webhooks()) {
    if (!Wants(webhook, event)) continue;
    auto post =
        std::make_unique<Post>(Post{webhook.url(), BodyOf(event, job), job.id, event.number, 1,
                                    ::seer::Backoff(options_.first_backoff, options_.max_backoff)});
    Add(std::move(post), clock_.Steady());
  }
}

void Webhooks::Add(std::unique_ptr<Post> post, absl::Duration due) {
  absl::MutexLock lock(&mu_);
  if (stopping_) return;
  if (waiting_.size() >= options_.queue) {
    metrics_.webhook_posts.Add(1, {{"outcome", "dropped"}});
    LogWarn("webhook_dropped", {{"job", post->job}, {"event", post->event}});
    return;
  }
  waiting_.emplace(due, std::move(post));
}

absl::Duration Webhooks::Earliest() const {
  return waiting_.empty() ? absl::InfiniteDuration() : waiting_.begin()->first;
}

std::unique_ptr<Webhooks::Post> Webhooks::Take() {
  absl::MutexLock lock(&mu_);
  while (true) {
    if (stopping_) return nullptr;
    const absl::Duration now = clock_.Steady();
    const absl::Duration next = Earliest();
    if (next <= now) return std::move(waiting_.extract(waiting_.begin()).mapped());
    const auto changed = [&] {
      mu_.AssertReaderHeld();
      return stopping_ || Earliest() != next;
    };
    AwaitFor(mu_, absl::Condition(&changed), next - now);
  }
}

void Webhooks::Run() {
  HttpClient client;
  while (std::unique_ptr<Post> post = Take()) Make(client, std::move(post));
}

void Webhooks::Make(HttpClient& client, std::unique_ptr<Post> post) {
  HttpRequest request;
  request.url = post->url;
  request.post = post->body;
  request.headers = {"Content-Type: application/json", absl::StrCat("X-Seer-Event: ", post->event)};
  if (!options_.secret.empty())
    request.headers.push_back(
        absl::StrCat("X-Seer-Signature: sha256=", HmacSha256Hex(options_.secret, post->body)));
  request.timeout = request.connect_timeout = options_.timeout;
  request.max_redirects = 0;
  request.max_bytes = 64 << 10;
  request.refuse_link_local = true;
  const absl::StatusOr<HttpResponse> response = client.Do(request);
  const Answer answer = Judge(response);
  if (answer == Answer::kTaken) {
    metrics_.webhook_posts.Add(1, {{"outcome", "delivered"}});
    return;
  }
  if (answer == Answer::kTryAgain && post->attempt < options_.attempts) {
    metrics_.webhook_posts.Add(1, {{"outcome", "retried"}});
    ++post->attempt;
    const absl::Duration wait = post->backoff.Next();
    return Add(std::move(post), clock_.Steady() + wait);
  }
  metrics_.webhook_posts.Add(1, {{"outcome", "failed"}});
  failed_(post->job,
          absl::StrCat("event ", post->event, " was not taken by ", MaskedUrl(post->url), ": ",
                       response.ok() ? absl::StrCat("it answered ", response->status)
                                     : std::string(response.status().message()),
                       ", attempt ", post->attempt));
}

}  // namespace seer::coordinator
