-- What is owed to subscribers, and every try at it, as in PostgreSQL.
create table dispatch (
  one integer primary key default 1 check (one = 1),
  revision integer not null default 1,
  position integer
) strict;
insert into dispatch default values;

create table subscribers (
  id integer primary key autoincrement,
  name text not null unique,
  url text not null,
  settings text not null,
  secrets text not null,
  state text not null default 'active',
  created integer not null,
  failures integer not null default 0,
  failing_since integer,
  open_until integer,
  told integer not null default 0,
  releasing integer,
  released integer
) strict;

create table messages (
  id integer primary key autoincrement,
  event text not null unique,
  type text not null,
  body text not null,
  created integer not null
) strict;
create index messages_created on messages (created);

create table deliveries (
  id integer primary key autoincrement,
  event text not null,
  subscriber integer not null,
  message integer not null,
  state text not null default 'waiting',
  attempts integer not null default 0,
  created integer not null,
  since integer not null,
  tried integer,
  next_attempt integer not null,
  held text,
  held_until integer,
  unique (event, subscriber)
) strict;
create index deliveries_due on deliveries (subscriber, next_attempt) where state = 'waiting';
create index deliveries_created on deliveries (created);
create index deliveries_since on deliveries (since) where state = 'waiting';
create index deliveries_subscriber on deliveries (subscriber, id);
create index deliveries_failed on deliveries (id) where state = 'failed';
create index deliveries_message on deliveries (message);

create table attempts (
  started integer not null,
  delivery integer not null,
  subscriber integer not null,
  event text not null,
  number integer not null,
  duration integer not null,
  status integer,
  error text,
  address text,
  answer text,
  next_attempt integer
) strict;
create index attempts_delivery on attempts (delivery, started);
create index attempts_started on attempts (started);
