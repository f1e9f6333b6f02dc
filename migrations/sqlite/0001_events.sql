-- The same tables as in PostgreSQL, but for the division by week: there, dropping a week spares the work of deleting
-- it; here, a file of one machine is small enough to delete from. Times are microseconds since 1970.
create table batches (
  id integer primary key autoincrement,
  origin text unique,
  recorded integer not null default (cast(unixepoch('subsec') * 1000000 as integer)),
  events integer not null,
  repeats integer not null default 0,
  unrecognized integer not null default 0,
  published integer not null default 0
) strict;

create table events (
  time integer not null,
  id text not null,
  source text not null,
  type text not null,
  batch integer not null,
  place integer not null,
  account text not null,
  region text not null,
  resources text not null,
  detail text not null,
  rcpt_to text,
  recipient_domain text,
  friendly_from text,
  sending_domain text,
  subject text,
  bounce_class text,
  reason text,
  campaign_id text,
  template_id text,
  sending_ip text,
  ip_pool text,
  subaccount_id text,
  message_id text,
  transmission_id text,
  mailbox_provider text,
  mailbox_provider_region text,
  ab_test_id text,
  ab_test_version text,
  primary key (time, id)
) strict;

create index events_rcpt_to on events (rcpt_to, time);
create index events_message_id on events (message_id, time);
