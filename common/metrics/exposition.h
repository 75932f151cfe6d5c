// Reads what another process serves as /metrics back into families. Pure. Only this folder includes
// it: prometheus-cpp stays hidden.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "common/metrics/registry.h"

namespace seer {

// Counters, gauges and histograms of `text`; lines that cannot be read, and other types, are left
// out. Series get the labels of `text.labels` that they have not.
std::vector<prometheus::MetricFamily> ReadExposition(const MetricsText& text);

// Appends `more` to `families`; families of one name become one.
void MergeFamilies(std::vector<prometheus::MetricFamily> more,
                   std::vector<prometheus::MetricFamily>& families);

}  // namespace seer
