#include "coordinator/services/curves_service.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/services/convert.h"

namespace seer::coordinator {

absl::Status CurvesService::Get(const v1::GetCurveRequest& request, v1::Curve& out) {
  for (const auto& [field, value] : {std::pair{"after_step", request.after_step()},
                                     std::pair{"max_points", int64_t{request.max_points()}}}) {
    if (value >= 0) continue;
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat(field, " is ", value, ", must be at least 0"))
        .Field(field)
        .Hint("0 gives the whole curve");
  }
  std::string id;
  v1::Progress now;
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const Job* job,
                          core.Find(std::string(absl::StripSuffix(request.name(), "/curve"))));
    id = job->id;
    now = ToProto(job->progress, job->numbers.steps);
    return absl::OkStatus();
  }));
  std::vector<v1::Progress> points = curves_.Read(id);
  // The newest was perhaps too near to the one before to be kept, or is not written yet. Of a
  // coordinator that was started again the job's own progress is older than the curve.
  if (now.step() > (points.empty() ? 0 : points.back().step())) points.push_back(std::move(now));
  std::erase_if(points, [&](const v1::Progress& p) { return p.step() <= request.after_step(); });
  if (request.max_points() > 0) points = Thinned(points, static_cast<size_t>(request.max_points()));
  out.set_name(absl::StrCat("jobs/", id, "/curve"));
  for (v1::Progress& point : points) *out.add_points() = std::move(point);
  return absl::OkStatus();
}

grpc::Status CurvesService::GetCurve(grpc::ServerContext*, const v1::GetCurveRequest* request,
                                     v1::Curve* out) {
  return ToGrpc(Get(*request, *out));
}

}  // namespace seer::coordinator
