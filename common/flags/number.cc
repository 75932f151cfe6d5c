#include "common/flags/number.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace seer {

CLI::Validator AtLeast(int64_t least) {
  return CLI::Validator(
      [least](std::string& text) {
        int64_t number = 0;
        const bool good = absl::SimpleAtoi(text, &number) && number >= least;
        return good ? std::string()
                    : absl::StrCat("'", text, "' is not a whole number of at least ", least);
      },
      "");
}

}  // namespace seer
