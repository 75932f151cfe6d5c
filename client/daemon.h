// What /proc and files tell about background processes.
#pragma once

#include <filesystem>
#include <string>

namespace seer::client {

std::string ReadFile(const std::filesystem::path& path);  // "" if it cannot be read
// Field 22 of /proc/PID/stat: when the process began. With the pid it names a process for good. "":
// no such process, or a zombie.
std::string StartTime(int pid);
// The pid in a pid file "PID START", if that very process runs; 0 otherwise.
int RunningPid(const std::filesystem::path& pid_file);
// Of a log, indented by two spaces below the first one.
std::string LastLines(const std::filesystem::path& log, size_t count);

}  // namespace seer::client
