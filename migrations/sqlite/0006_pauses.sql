-- Since when nothing is sent to a subscriber, in microseconds, and why.
alter table subscribers add column paused integer;
alter table subscribers add column paused_why text;
