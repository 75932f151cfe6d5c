-- Records are JSON text, so that a field more is not a column more; what is searched for has a column.
CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  state TEXT NOT NULL,
  spec BLOB NOT NULL,       -- serialized seer.v1.JobSpec
  record TEXT NOT NULL
);
CREATE TABLE checkpoints (
  job TEXT NOT NULL,
  step INTEGER NOT NULL,
  record TEXT NOT NULL,
  PRIMARY KEY (job, step)
);
CREATE TABLE workers (
  name TEXT PRIMARY KEY,
  record TEXT NOT NULL
);
CREATE TABLE events (
  number INTEGER PRIMARY KEY,
  time_us INTEGER NOT NULL,
  job TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  type TEXT NOT NULL,
  from_state TEXT NOT NULL,
  to_state TEXT NOT NULL,
  reason TEXT NOT NULL,
  message TEXT NOT NULL
);
CREATE INDEX events_of_job ON events (job, number);
CREATE TABLE requests (
  id TEXT PRIMARY KEY,
  job TEXT NOT NULL
);
CREATE TABLE counters (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
);
