#include "common/flags/log_format_flag.h"

#include "common/flags/choice.h"

namespace seer {

void AddLogFormatFlag(CLI::App& app, LogFormat& format) {
  AddChoice<LogFormat>(app, "--log-format", format,
                       {{"text", LogFormat::kText}, {"json", LogFormat::kJson}},
                       "Lines for people, or a JSON object each [text]");
}

}  // namespace seer
