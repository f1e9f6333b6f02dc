-- An index on a value that is different in each event writes a page for each event. Instead, the keys of many events are written at
-- once, in order: see src/log/sqlite/key_index.rs.
create table key_runs (
  id integer primary key,
  -- The run has the keys of the events of these batches and of all between.
  first_batch integer not null,
  last_batch integer not null
) strict;
create table key_buckets (
  -- The run and the bucket.
  id integer primary key,
  entries blob not null
) strict;
drop index events_rcpt_to;
drop index events_message_id;
drop index events_id;
