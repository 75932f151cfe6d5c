// Metrics of the data service: names and help texts, declared once. Thread-safe.
#pragma once

#include "common/metrics/registry.h"

namespace seer::dataservice {

struct DataMetrics {
  explicit DataMetrics(MetricsRegistry& r)
      : batches(r.AddCounter("seer_data_batches_total", "Messages sent, one a rank and step.")),
        images(r.AddCounter("seer_data_images_total", "Images sent.")),
        crop_bytes(r.AddCounter("seer_data_crop_bytes_total",
                                "Pixels sent, by transport: shared_memory or grpc.")),
        bytes_read(r.AddCounter("seer_data_bytes_read_total", "Encoded bytes read, by source.")),
        decode_seconds(
            r.AddHistogram("seer_data_decode_seconds", "Decoding one image and cutting its crops.",
                           {.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1})),
        buffer_batches(r.AddGauge("seer_data_buffer_batches",
                                  "Batches being assembled or ready, over all streams.")),
        replicas_wanted(r.AddGauge(
            "seer_data_replicas_wanted",
            "Replicas like this one, 80 % busy, that would serve its streams without a wait.")),
        bad_images(r.AddCounter("seer_data_bad_images_total",
                                "Images that could not be used, by reason and what was done.")),
        pool_generation(r.AddGauge("seer_pool_generation", "Newest committed generation.")),
        pool_images(r.AddGauge("seer_pool_images", "Images of the newest generation.")),
        pool_refused(
            r.AddCounter("seer_pool_refused_images_total", "Images refused at ingest, by rule.")),
        takedowns(r.AddCounter("seer_pool_takedowns_total", "Takedowns that were finished.")),
        takedown_seconds(r.AddHistogram("seer_pool_takedown_seconds",
                                        "From a takedown's record to the end of its last byte.",
                                        {.01, .1, 1, 10, 60, 300, 1800, 7200, 28800, 86400})) {}

  Counter& batches;
  Counter& images;
  Counter& crop_bytes;
  Counter& bytes_read;
  Histogram& decode_seconds;
  Gauge& buffer_batches;
  Gauge& replicas_wanted;
  Counter& bad_images;
  Gauge& pool_generation;
  Gauge& pool_images;
  Counter& pool_refused;
  Counter& takedowns;
  Histogram& takedown_seconds;
};

}  // namespace seer::dataservice
