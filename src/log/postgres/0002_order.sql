-- The order of the log: every event has a position, from 1 on, without gaps. A batch gets the position of its first event
-- after its commit, from one sequencer at a time, so no reader ever sees a position before those that come before it.
create table hookbridge.log (
  one boolean primary key default true check (one),
  cursor_key bytea not null,
  next bigint not null default 1,
  sequenced timestamptz not null default '-infinity'
);
insert into hookbridge.log (cursor_key)
  values (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

alter table hookbridge.batches
  add position bigint,
  add oldest timestamptz,
  add newest timestamptz;

-- Places had gaps where a batch had repeats.
update hookbridge.events e set place = ranked.place
from (
  select time, id, row_number() over (partition by batch order by place) - 1 as place from hookbridge.events
  where batch in (select id from hookbridge.batches where repeats > 0)
) ranked
where e.time = ranked.time and e.id = ranked.id and e.place <> ranked.place;
update hookbridge.batches b set oldest = span.oldest, newest = span.newest
from (select batch, min(time) as oldest, max(time) as newest from hookbridge.events group by batch) span
where b.id = span.batch;

create index events_order on hookbridge.events (batch, place);
create index events_id on hookbridge.events using brin
  (id text_bloom_ops (n_distinct_per_range = 1000)) with (pages_per_range = 128, autosummarize = on);
create unique index batches_position on hookbridge.batches (position);
create index batches_unsequenced on hookbridge.batches (id) where position is null and events > 0;
create index batches_recorded on hookbridge.batches (recorded, position) where position is not null;

comment on table hookbridge.log is 'One row: the key of its cursors, and the position that the next event gets.';
comment on column hookbridge.batches.position is 'The position of its first event; none until it is sequenced, nor without events.';
comment on column hookbridge.batches.recorded is 'When it got its position; never before the batch that stands before it.';
comment on column hookbridge.events.place is 'Its place in that batch, from 0: its position is that of the batch and this.';
