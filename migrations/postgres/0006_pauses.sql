-- Since when nothing is sent to a subscriber, in microseconds, and why.
alter table hookbridge.subscribers add column paused bigint, add column paused_why text;
