#include "common/base/circle.h"

#include <algorithm>
#include <map>
#include <utility>

namespace seer {

std::vector<std::string> FindCircle(
    const std::string& start,
    const std::function<std::vector<std::string>(const std::string&)>& next) {
  enum class Seen { kOnPath, kDone };
  std::map<std::string, Seen> seen;
  struct Place {
    std::string name;
    std::vector<std::string> next;
    size_t at = 0;
  };
  std::vector<Place> path;  // depth first, without recursion: chains may be long
  const auto enter = [&](const std::string& name) {
    seen[name] = Seen::kOnPath;
    path.push_back({name, next(name)});
  };
  enter(start);
  while (!path.empty()) {
    Place& place = path.back();
    if (place.at == place.next.size()) {
      seen[place.name] = Seen::kDone;
      path.pop_back();
      continue;
    }
    const std::string name = place.next[place.at++];
    const auto it = seen.find(name);
    if (it == seen.end()) {
      enter(name);
    } else if (it->second == Seen::kOnPath) {
      std::vector<std::string> circle;
      const auto first =
          std::find_if(path.begin(), path.end(), [&](const Place& p) { return p.name == name; });
      for (auto p = first; p != path.end(); ++p) circle.push_back(p->name);
      circle.push_back(name);
      return circle;
    }
  }
  return {};
}

}  // namespace seer
