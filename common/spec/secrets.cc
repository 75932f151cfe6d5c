#include "common/spec/secrets.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"

namespace seer {
namespace {

constexpr char kMask[] = "***";

std::string MaskedQuery(absl::string_view query) {
  std::vector<std::string> parts;
  for (const absl::string_view part : absl::StrSplit(query, '&')) {
    const size_t equals = part.find('=');
    parts.push_back(equals == absl::string_view::npos
                        ? (part.empty() ? "" : kMask)
                        : absl::StrCat(part.substr(0, equals + 1), kMask));
  }
  return absl::StrJoin(parts, "&");
}

bool IsMasked(const std::string& url) {
  return absl::StrContains(url, kMask) && MaskedUrl(url) == url;
}

}  // namespace

std::string MaskedUrl(absl::string_view url) {
  const size_t scheme = url.find("://");
  const size_t host = scheme == absl::string_view::npos ? 0 : scheme + 3;
  const size_t end = std::min(url.find_first_of("/?#", host), url.size());
  const size_t query = std::min(url.find_first_of("?#", end), url.size());
  const size_t fragment = std::min(url.find('#', query), url.size());
  const absl::string_view authority = url.substr(host, end - host);
  const size_t at = authority.rfind('@');
  std::string out(url.substr(0, host));
  if (at == absl::string_view::npos) {
    absl::StrAppend(&out, authority);
  } else {
    absl::StrAppend(&out, kMask, authority.substr(at));
  }
  absl::StrAppend(&out, url.substr(end, query - end));
  if (query < fragment)
    absl::StrAppend(&out, "?", MaskedQuery(url.substr(query + 1, fragment - query - 1)));
  if (fragment < url.size()) absl::StrAppend(&out, "#", kMask);
  return out;
}

bool MaskSecrets(v1::JobSpec& spec) {
  bool changed = false;
  if (!spec.has_alerts()) return changed;
  for (v1::WebhookSpec& webhook : *spec.mutable_alerts()->mutable_webhooks()) {
    std::string masked = MaskedUrl(webhook.url());
    changed = changed || masked != webhook.url();
    webhook.set_url(std::move(masked));
  }
  return changed;
}

absl::Status RestoreSecrets(const v1::JobSpec& before, v1::JobSpec& spec) {
  for (int i = 0; i < spec.alerts().webhooks_size(); ++i) {
    const std::string& url = spec.alerts().webhooks(i).url();
    if (!IsMasked(url)) continue;
    const auto& known = before.alerts().webhooks();
    const auto same = std::find_if(known.begin(), known.end(), [&](const v1::WebhookSpec& webhook) {
      return MaskedUrl(webhook.url()) == url;
    });
    if (same == known.end()) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                   absl::StrCat("the secret in '", url, "' is masked"))
          .Field(absl::StrCat("alerts.webhooks[", i, "].url"))
          .Hint("write the URL with its secret; what is shown of a job does not have it");
    }
    spec.mutable_alerts()->mutable_webhooks(i)->set_url(same->url());
  }
  return absl::OkStatus();
}

}  // namespace seer
