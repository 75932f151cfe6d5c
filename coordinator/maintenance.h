// The verbs of seer-coordinator beside serving: migrate, backup and restore.
#pragma once

namespace CLI {
class App;
}

namespace seer::coordinator {

// `exit_code`: of the verb that ran; it outlives `app`.
void AddMaintenance(CLI::App& app, int& exit_code);

}  // namespace seer::coordinator
