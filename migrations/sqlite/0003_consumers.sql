-- Named consumers, whose place in the log is kept here. Times are microseconds since 1970.
create table consumers (
  name text primary key,
  position integer not null,
  lease text,
  leased_until integer,
  created integer not null,
  acknowledged integer
) strict;
