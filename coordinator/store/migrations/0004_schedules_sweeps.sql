CREATE TABLE schedules (
  name TEXT PRIMARY KEY,
  spec BLOB NOT NULL,       -- serialized seer.v1.JobSpec
  record TEXT NOT NULL
);
CREATE TABLE sweeps (
  name TEXT PRIMARY KEY,
  definition BLOB NOT NULL, -- serialized seer.v1.Sweep
  record TEXT NOT NULL
);
