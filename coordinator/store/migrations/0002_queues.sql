CREATE TABLE queues (
  name TEXT PRIMARY KEY,
  record TEXT NOT NULL
);
