CREATE TABLE tokens (
  name TEXT PRIMARY KEY,
  digest TEXT NOT NULL,     -- SHA-256 of the secret, in hex
  record TEXT NOT NULL
);
CREATE TABLE audit (
  number INTEGER PRIMARY KEY,
  time_us INTEGER NOT NULL,
  principal TEXT NOT NULL,
  method TEXT NOT NULL,
  resource TEXT NOT NULL,
  request_id TEXT NOT NULL,
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  peer TEXT NOT NULL
);
CREATE INDEX audit_of_request ON audit (request_id);
CREATE INDEX audit_of_time ON audit (time_us);
