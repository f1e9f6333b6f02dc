-- What is owed to subscribers, and every try at it. Times are microseconds since 1970, as in SQLite.
create table hookbridge.dispatch (
  one integer primary key default 1 check (one = 1),
  revision bigint not null default 1,
  position bigint
);
insert into hookbridge.dispatch default values;
comment on column hookbridge.dispatch.revision is 'Grows with every change of a subscriber: who knows them is told by it.';
comment on column hookbridge.dispatch.position is 'The position in the log of the first event whose deliveries were not made; null where events come by a queue.';

create table hookbridge.subscribers (
  id bigint generated always as identity primary key,
  name text collate "C" not null unique,
  url text not null,
  settings text not null,
  secrets text not null,
  state text not null default 'active',
  created bigint not null,
  failures bigint not null default 0,
  failing_since bigint,
  open_until bigint,
  told bigint not null default 0,
  releasing bigint,
  released bigint
);
comment on column hookbridge.subscribers.secrets is 'Encrypted, with the id of the key each.';
comment on column hookbridge.subscribers.failures is 'Attempts that failed since one was good.';
comment on column hookbridge.subscribers.open_until is 'Until when nothing is tried, because too many attempts failed.';
comment on column hookbridge.subscribers.told is 'The part of the failure budget that was told of, in percent; -1 when it was resumed.';
comment on column hookbridge.subscribers.released is 'When that was done last.';
comment on column hookbridge.subscribers.releasing is 'What was tried before this time and failed is tried at once: an attempt was good again.';

create table hookbridge.messages (
  id bigint generated always as identity primary key,
  event text collate "C" not null unique,
  type text not null,
  body text not null,
  created bigint not null
);
create index messages_created on hookbridge.messages (created);

create table hookbridge.deliveries (
  id bigint generated always as identity primary key,
  event text collate "C" not null,
  subscriber bigint not null,
  message bigint not null,
  state text not null default 'waiting',
  attempts bigint not null default 0,
  created bigint not null,
  since bigint not null,
  tried bigint,
  next_attempt bigint not null,
  held text,
  held_until bigint,
  unique (event, subscriber)
);
create index deliveries_due on hookbridge.deliveries (subscriber, next_attempt) where state = 'waiting';
create index deliveries_created on hookbridge.deliveries (created);
create index deliveries_since on hookbridge.deliveries (since) where state = 'waiting';
create index deliveries_subscriber on hookbridge.deliveries (subscriber, id);
create index deliveries_failed on hookbridge.deliveries (id) where state = 'failed';
create index deliveries_message on hookbridge.deliveries (message);
comment on column hookbridge.deliveries.since is 'What its seven days are counted from: its first attempt, or before that when it was made.';
comment on column hookbridge.deliveries.held is 'What the one who has it in hand knows.';

-- Only ever added to. A week of it is dropped as a whole.
create table hookbridge.attempts (
  started bigint not null,
  delivery bigint not null,
  subscriber bigint not null,
  event text not null,
  number bigint not null,
  duration bigint not null,
  status bigint,
  error text,
  address text,
  answer text,
  next_attempt bigint
) partition by range (started);
create table hookbridge.attempts_default partition of hookbridge.attempts default;
create index attempts_delivery on hookbridge.attempts (delivery, started);
create index attempts_started on hookbridge.attempts (started);
