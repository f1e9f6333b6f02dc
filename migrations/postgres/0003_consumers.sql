-- Named consumers, whose place in the log is kept here. Times are microseconds since 1970, as in SQLite.
create table hookbridge.consumers (
  name text collate "C" primary key,
  position bigint not null,
  lease text,
  leased_until bigint,
  created bigint not null,
  acknowledged bigint
);
comment on column hookbridge.consumers.position is 'The position of the first event that it has not acknowledged.';
comment on column hookbridge.consumers.lease is 'What the one reader that has events of it in hand knows.';
