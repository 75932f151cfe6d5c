#include "common/flags/duration_flag.h"

#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace seer {

CLI::Option* AddDuration(CLI::App& app, const std::string& flag, absl::Duration& out,
                         const std::string& help, DurationRange range) {
  return app
      .add_option_function<std::string>(
          flag,
          [flag, &out, range](const std::string& text) {
            const auto read = ReadDurationFlag(flag, text, range);
            if (!read.ok()) {
              throw CLI::ValidationError(
                  absl::StrCat(read.status().message(), "; ", GetErrorDetail(read.status())->hint));
            }
            out = *read;
          },
          help)
      ->type_name("DURATION");
}

}  // namespace seer
