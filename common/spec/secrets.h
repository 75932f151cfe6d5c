// Secrets in a spec: URLs of webhooks may hold a password or a token. Whoever looks at a job sees
// them masked, and may give the masked spec back. Pure.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "seer/v1/job_spec.pb.h"

namespace seer {

// "https://user:pw@host/path?token=1#x" -> "https://***@host/path?token=***#***": user and
// password, the values of the query and the fragment. Also of a text that is no URL.
std::string MaskedUrl(absl::string_view url);

// Masks all URLs of webhooks. True: that changed one.
bool MaskSecrets(v1::JobSpec& spec);

// Puts URLs of `before` in the place of the masked ones that show them. INVALID_ARGUMENT with
// OUT_OF_RANGE: a masked one is not of `before`.
absl::Status RestoreSecrets(const v1::JobSpec& before, v1::JobSpec& spec);

}  // namespace seer
