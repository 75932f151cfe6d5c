#include "common/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/log_sink.h"
#include "common/base/utf8.h"

namespace seer {
namespace {

struct Logger {
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;
  LogFields common;
  std::shared_ptr<spdlog::logger> sink = [] {
    auto logger =
        std::make_shared<spdlog::logger>("seer", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern("%v");
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::trace);
    return logger;
  }();
  std::atomic<bool> has_other{false};
  absl::Mutex mu;
  LogSink* other ABSL_GUARDED_BY(mu) = nullptr;
};

// The one process-wide state of the program: where its log lines go. The first four are
// set before any thread starts.
Logger& TheLogger() {
  static Logger* logger = new Logger;
  return *logger;
}

constexpr absl::string_view kLevelNames[] = {"debug", "info", "warn", "error"};

std::string JsonString(absl::string_view text) {
  std::string out = "\"";
  for (const unsigned char c : ToValidUtf8(text)) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (c < 0x20 || c == 0x7f)
          absl::StrAppendFormat(&out, "\\u%04x", c);
        else
          out += static_cast<char>(c);
    }
  }
  return out + "\"";
}

// Also control characters: what a program was told must neither end its line nor steer a terminal.
bool NeedsQuotes(absl::string_view text) {
  return text.empty() || std::any_of(text.begin(), text.end(), [](unsigned char c) {
           return c <= ' ' || c == '"' || c == '=' || c == 0x7f;
         });
}

}  // namespace

void InitLogging(LogFormat format, LogLevel level, LogFields common_fields) {
  Logger& logger = TheLogger();
  logger.format = format;
  logger.level = level;
  logger.common = std::move(common_fields);
}

void SetLogSink(LogSink* sink) {
  Logger& logger = TheLogger();
  absl::MutexLock lock(&logger.mu);
  logger.other = sink;
  logger.has_other = sink != nullptr;
}

void Log(LogLevel level, absl::string_view event, std::initializer_list<LogField> fields) {
  Logger& logger = TheLogger();
  if (level < logger.level) return;
  const absl::Time now = absl::Now();
  const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", now, absl::UTCTimeZone());
  const absl::string_view level_name = kLevelNames[static_cast<int>(level)];
  std::string line;
  if (logger.format == LogFormat::kJson) {
    line = absl::StrCat("{\"time\":\"", time, "\",\"level\":\"", level_name,
                        "\",\"event\":", JsonString(event));
    for (const auto& [key, value] : logger.common)
      absl::StrAppend(&line, ",", JsonString(key), ":", JsonString(value));
    for (const LogField& f : fields)
      absl::StrAppend(&line, ",", JsonString(f.key()), ":", JsonString(f.value()));
    line += "}";
  } else {
    line = absl::StrCat(time, " ", level_name, " ", event);
    const auto append = [&line](absl::string_view key, absl::string_view value) {
      absl::StrAppend(&line, " ", key, "=",
                      NeedsQuotes(value) ? JsonString(value) : std::string(value));
    };
    for (const auto& [key, value] : logger.common) append(key, value);
    for (const LogField& f : fields) append(f.key(), f.value());
  }
  logger.sink->info("{}", line);
  if (!logger.has_other) return;
  absl::ReaderMutexLock lock(&logger.mu);
  if (logger.other != nullptr) logger.other->Take(now, level, event, logger.common, fields);
}

}  // namespace seer
