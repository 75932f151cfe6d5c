#include "coordinator/http/files.h"

#include <array>

#include "common/api/api_files.h"
#include "seer_page_bytes.h"

namespace seer::coordinator {
namespace {
constexpr char kScript[] = "text/javascript; charset=utf-8";
}

const ServedFile* FindFile(absl::string_view path) {
  static const auto* files = new auto(std::to_array<ServedFile>({
      {"/", "text/html; charset=utf-8", seer_page_bytes::index_html()},
      {"/page.css", "text/css; charset=utf-8", seer_page_bytes::page_css()},
      {"/icon.svg", "image/svg+xml", seer_page_bytes::icon_svg()},
      {"/api.js", kScript, seer_page_bytes::api_js()},
      {"/chart.js", kScript, seer_page_bytes::chart_js()},
      {"/dom.js", kScript, seer_page_bytes::dom_js()},
      {"/events.js", kScript, seer_page_bytes::events_js()},
      {"/fleet.js", kScript, seer_page_bytes::fleet_js()},
      {"/format.js", kScript, seer_page_bytes::format_js()},
      {"/job.js", kScript, seer_page_bytes::job_js()},
      {"/jobs.js", kScript, seer_page_bytes::jobs_js()},
      {"/main.js", kScript, seer_page_bytes::main_js()},
      {"/pools.js", kScript, seer_page_bytes::pools_js()},
      {"/openapi.json", "application/json", OpenApi()},
      {"/seer.protoset", "application/octet-stream", Protoset()},
  }));
  for (const ServedFile& file : *files)
    if (file.path == path) return &file;
  return nullptr;
}

}  // namespace seer::coordinator
