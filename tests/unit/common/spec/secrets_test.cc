// Secrets in URLs of webhooks: what is shown of them, and how a shown spec comes back.
#include "common/spec/secrets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/reasons.h"
#include "common/spec/validate_alerts.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::Not;

v1::JobSpec Telling(const std::vector<std::string>& urls) {
  v1::JobSpec spec;
  for (const std::string& url : urls) spec.mutable_alerts()->add_webhooks()->set_url(url);
  return spec;
}

TEST(MaskedUrl, HidesUserPasswordQueryAndFragment) {
  for (const auto& [url, masked] : std::vector<std::pair<std::string, std::string>>{
           {"https://hooks.example:8443/a/b", "https://hooks.example:8443/a/b"},
           {"https://user:pass@hooks.example/a", "https://***@hooks.example/a"},
           {"https://token@hooks.example", "https://***@hooks.example"},
           {"https://u:p@ss@[::1]:80/a", "https://***@[::1]:80/a"},
           {"https://h/a?token=s3cret&room=7", "https://h/a?token=***&room=***"},
           {"https://h?s3cret", "https://h?***"},
           {"https://h/?a=1&&b", "https://h/?a=***&&***"},
           {"https://h/a?t=x=y#s3cret", "https://h/a?t=***#***"},
           {"https://h/a#s3cret", "https://h/a#***"},
           {"https://h/a/@b?x=@c", "https://h/a/@b?x=***"},
           {"user:s3cret@h/a", "***@h/a"},
           {"https://", "https://"},
           {"", ""},
       }) {
    EXPECT_EQ(MaskedUrl(url), masked);
    EXPECT_EQ(MaskedUrl(masked), masked) << "masked twice";
  }
}

TEST(Secrets, AMaskedSpecComesBackWithThem) {
  const v1::JobSpec stored = Telling({"https://h/a?token=one", "https://h/b", "https://u:p@h/c"});
  v1::JobSpec shown = stored;
  EXPECT_TRUE(MaskSecrets(shown));
  EXPECT_THAT(shown.DebugString(), Not(HasSubstr("one")));
  EXPECT_FALSE(MaskSecrets(shown));
  // In another order, and one of them changed.
  shown.mutable_alerts()->mutable_webhooks()->SwapElements(0, 2);
  shown.mutable_alerts()->mutable_webhooks(1)->set_url("https://h/new?token=new");
  ASSERT_OK(RestoreSecrets(stored, shown));
  EXPECT_EQ(shown.alerts().webhooks(0).url(), "https://u:p@h/c");
  EXPECT_EQ(shown.alerts().webhooks(1).url(), "https://h/new?token=new");
  EXPECT_EQ(shown.alerts().webhooks(2).url(), "https://h/a?token=one");
}

TEST(Secrets, AMaskedUrlOfNoOtherSpecIsRefusedWithTheRemedy) {
  v1::JobSpec spec = Telling({"https://h/", "https://h/a?token=***"});
  EXPECT_THAT(RestoreSecrets(Telling({"https://elsewhere/a?token=one"}), spec),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                        "the secret in 'https://h/a?token=***' is masked"));
  v1::JobSpec none;
  EXPECT_FALSE(MaskSecrets(none));
  EXPECT_FALSE(none.has_alerts());
}

TEST(Secrets, AreNotInWhatIsSaidOfABadUrl) {
  for (const char* url : {"ftp://user:s3cret@h/", "https://user:s3cret@/", "https://h/?a=s3cret x",
                          "http://user:s3cret@169.254.169.254/?b=s3cret", "user:s3cret@h"}) {
    const absl::Status status = CheckWebhooks(Telling({url}).alerts());
    EXPECT_FALSE(status.ok()) << url;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("s3cret")));
  }
}

}  // namespace
}  // namespace seer
