// Circles among things that wait for each other. Pure.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace seer {

// A circle that can be reached from `start`: its names in order, the first one again at the end;
// empty: there is none. `next` gives what a name waits for.
std::vector<std::string> FindCircle(
    const std::string& start,
    const std::function<std::vector<std::string>(const std::string&)>& next);

}  // namespace seer
