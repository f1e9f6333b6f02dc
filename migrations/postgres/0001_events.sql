-- A batch is recorded whole and once: its origin is its place in the archive.
create table hookbridge.batches (
  id bigint generated always as identity primary key,
  origin text collate "C" unique,
  recorded timestamptz not null default now(),
  events int not null,
  repeats int not null default 0,
  unrecognized int not null default 0,
  published boolean not null default false
);

-- Divided by the time of the event, because that is what retention and every search go by. The key begins with the
-- time, so that what is new goes to its end, however large the table is.
create table hookbridge.events (
  time timestamptz not null,
  id text collate "C" not null,
  source text not null,
  type text not null,
  batch bigint not null,
  place int not null,
  account text not null,
  region text not null,
  resources text[] not null,
  detail text not null,
  rcpt_to text collate "C",
  recipient_domain text collate "C",
  friendly_from text collate "C",
  sending_domain text collate "C",
  subject text,
  bounce_class text collate "C",
  reason text,
  campaign_id text,
  template_id text,
  sending_ip text collate "C",
  ip_pool text,
  subaccount_id text collate "C",
  message_id text collate "C",
  transmission_id text collate "C",
  mailbox_provider text,
  mailbox_provider_region text,
  ab_test_id text,
  ab_test_version text collate "C",
  primary key (time, id)
) partition by range (time);

-- A needle in weeks of hay: who received it, and which message it was. A summary for each megabyte of a table costs a
-- recorder next to nothing, where a B-tree costs it a third of its speed; docs/performance.md has the figures.
create index events_rcpt_to on hookbridge.events using brin
  (rcpt_to text_bloom_ops (n_distinct_per_range = 1000)) with (pages_per_range = 128, autosummarize = on);
create index events_message_id on hookbridge.events using brin
  (message_id text_bloom_ops (n_distinct_per_range = 1000)) with (pages_per_range = 128, autosummarize = on);

-- For events whose time is out of all reason.
create table hookbridge.events_default partition of hookbridge.events default;

comment on table hookbridge.events is 'Every recorded event once; one table a week, made and dropped by hookbridge.';
comment on column hookbridge.events.detail is 'JSON, byte for byte what the provider sent.';
comment on column hookbridge.events.batch is 'The row of hookbridge.batches that it came with.';
comment on column hookbridge.events.place is 'Its place in that batch, from 0.';
