#include "common/spec/validate_alerts.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/spec/rules.h"
#include "common/spec/secrets.h"

namespace seer {
namespace {

constexpr int kMaxWebhooks = 8;
constexpr int kMaxEvents = 32;
constexpr size_t kMaxUrlBytes = 2048;

// "host" of "https://user@host:443/path?query", in lower case.
std::string HostOf(absl::string_view url) {
  url.remove_prefix(url.find("://") + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  if (const size_t at = url.rfind('@'); at != absl::string_view::npos) url.remove_prefix(at + 1);
  const size_t colon = url.rfind(':');
  const bool port = colon != absl::string_view::npos && !absl::StrContains(url.substr(colon), "]");
  return absl::AsciiStrToLower(port ? url.substr(0, colon) : url);
}

// Of machines of a cloud: whoever may submit jobs must not make the coordinator ask there. Names
// that lead there are refused when they are resolved.
bool IsMetadataService(const std::string& host) {
  return absl::StartsWith(host, "169.254.") || absl::StartsWith(host, "[fe80:") ||
         host == "metadata.google.internal";
}

absl::Status CheckUrl(const std::string& field, const std::string& url) {
  if (url.empty()) return Missing(field, "give the URL that is posted to, or take the webhook out");
  const std::string lower = absl::AsciiStrToLower(url);
  if (!absl::StartsWith(lower, "http://") && !absl::StartsWith(lower, "https://"))
    return Broken(field, absl::StrCat("'", MaskedUrl(url), "'"), "a URL with http:// or https://");
  if (url.size() > kMaxUrlBytes)
    return Broken(field, absl::StrCat(url.size(), " bytes long"),
                  absl::StrCat("at most ", kMaxUrlBytes, " bytes long"));
  for (const char c : url)
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c)))
      return Broken(field, absl::StrCat("'", MaskedUrl(url), "'"), "a URL without spaces");
  const std::string host = HostOf(url);
  if (host.empty())
    return Broken(field, absl::StrCat("'", MaskedUrl(url), "'"), "a URL with a host");
  if (IsMetadataService(host))
    return Broken(field, absl::StrCat("'", MaskedUrl(url), "'"),
                  "a URL of a host that is no link-local or metadata address");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckWebhooks(const v1::AlertsSpec& alerts) {
  if (alerts.webhooks_size() > kMaxWebhooks)
    return Broken("alerts.webhooks", absl::StrCat(alerts.webhooks_size(), " webhooks"),
                  absl::StrCat("at most ", kMaxWebhooks));
  for (int i = 0; i < alerts.webhooks_size(); ++i) {
    const v1::WebhookSpec& webhook = alerts.webhooks(i);
    const std::string field = absl::StrCat("alerts.webhooks[", i, "].");
    SEER_RETURN_IF_ERROR(CheckUrl(field + "url", webhook.url()));
    if (webhook.events_size() > kMaxEvents)
      return Broken(field + "events", absl::StrCat(webhook.events_size(), " events"),
                    absl::StrCat("at most ", kMaxEvents));
    for (const std::string& event : webhook.events()) {
      bool word = !event.empty() && event.size() <= 64;
      for (const char c : event)
        word = word && (absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_');
      if (!word)
        return Broken(field + "events", absl::StrCat("'", event, "'"),
                      "types of events or states, as attempt_ended or FAILED");
    }
  }
  return absl::OkStatus();
}

}  // namespace seer
