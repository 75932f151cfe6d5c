-- Requests are forgotten after a while. Those that are there count from the newest event on.
ALTER TABLE requests ADD COLUMN time_us INTEGER NOT NULL DEFAULT 0;
UPDATE requests SET time_us = (SELECT COALESCE(MAX(time_us), 0) FROM events);
