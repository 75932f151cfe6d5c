// The goldens of make_goldens.py, and how near the engine must come to them.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "engine/checkpoint/safetensors.h"

namespace seer::engine::testing {

class Golden {
 public:
  explicit Golden(const std::string& name) {
    std::ifstream file(absl::StrCat(SEER_GOLDEN_DIR, "/", name, ".safetensors"), std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    const std::string bytes = content.str();
    const auto size = static_cast<int64_t>(bytes.size());
    const auto length = SafetensorsHeaderBytes(absl::string_view(bytes).substr(0, 8), size);
    SEER_CHECK(length.ok()) << name << ": " << length.status().ToString();
    const auto header = DecodeSafetensorsHeader(
        absl::string_view(bytes).substr(8, static_cast<size_t>(*length)), size);
    SEER_CHECK(header.ok()) << name << ": " << header.status().ToString();
    for (const SafetensorsEntry& entry : header->entries) {
      at::Tensor tensor = at::empty(entry.shape, at::kFloat);
      std::memcpy(tensor.mutable_data_ptr(), bytes.data() + header->data_begin + entry.begin,
                  static_cast<size_t>(entry.size_bytes()));
      tensors_.emplace(entry.name, tensor);
    }
  }
  at::Tensor operator[](const std::string& name) const {
    const auto found = tensors_.find(name);
    SEER_CHECK(found != tensors_.end()) << "no golden '" << name << "'";
    return found->second.clone();
  }
  // Names that start with `prefix`, without it.
  std::vector<std::string> Under(const std::string& prefix) const {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors_) {
      if (name.rfind(prefix, 0) == 0) names.push_back(name.substr(prefix.size()));
    }
    return names;
  }

 private:
  std::map<std::string, at::Tensor> tensors_;
};

// To 1e-4 of the largest number of `golden`.
inline void ExpectNear(const at::Tensor& actual, const at::Tensor& golden,
                       const std::string& what) {
  ASSERT_EQ(actual.sizes(), golden.sizes()) << what;
  const double scale = golden.abs().max().item<double>();
  const double gap = (actual.detach() - golden).abs().max().item<double>();
  EXPECT_LE(gap, 1e-4 * scale) << what << ", largest number " << scale;
}

}  // namespace seer::engine::testing
