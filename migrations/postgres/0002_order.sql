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

with placed as (
  select id, 1 + (sum(events) over (order by id) - events)::bigint as position, max(recorded) over (order by id) as recorded
  from hookbridge.batches where events > 0
)
update hookbridge.batches b set position = placed.position, recorded = placed.recorded from placed where b.id = placed.id;
update hookbridge.log set next = 1 + last.events, sequenced = last.recorded
from (select sum(events)::bigint as events, max(recorded) as recorded from hookbridge.batches where position is not null) last
where last.events is not null;

-- It grows at its end only.
create index events_order on hookbridge.events (batch, place) with (fillfactor = 100);
create index events_id on hookbridge.events using brin
  (id text_bloom_ops (n_distinct_per_range = 1000)) with (pages_per_range = 128, autosummarize = on);
create unique index batches_position on hookbridge.batches (position);
create index batches_unsequenced on hookbridge.batches (id) where position is null and events > 0;
-- What is sequenced leaves dead entries in that index; who asks for what is not passes over them until they are removed.
alter table hookbridge.batches set (autovacuum_vacuum_scale_factor = 0.02);
create index batches_recorded on hookbridge.batches (recorded, position) where position is not null;

-- Gives positions to what is committed and has none, to so many batches at most, and tells who listens. Each statement sees
-- what was committed before it began, so the one after the lock sees all that the sequencer before has done.
create function hookbridge.sequence(out ended bigint, out is_more boolean) language plpgsql as $$
declare
  most constant int := 10000;
  now timestamptz;
begin
  is_more := false;
  if exists (select from hookbridge.batches where position is null and events > 0) then
    perform from hookbridge.log for update;
    -- Behind the wait: nothing that was committed before a time gets an earlier one.
    now := clock_timestamp();
    -- A recorder of the version before this one may still be running: its places have gaps where a batch had repeats.
    if exists (
      select from hookbridge.batches where position is null and events > 0 and repeats > 0 and oldest is null
    ) then
      update hookbridge.events e set place = ranked.place
      from (
        select time, id, row_number() over (partition by batch order by place) - 1 as place from hookbridge.events
        where batch in (
          select b.id from hookbridge.batches b
          where b.position is null and b.events > 0 and b.repeats > 0 and b.oldest is null
        )
      ) ranked
      where e.time = ranked.time and e.id = ranked.id and e.place <> ranked.place;
    end if;
    with waiting as (
      select id, (sum(events) over (order by id) - events)::bigint as before
      from hookbridge.batches where position is null and events > 0 order by id limit most
    ), given as (
      update hookbridge.batches b
      set position = log.next + waiting.before, recorded = greatest(now, log.sequenced)
      from waiting, hookbridge.log where b.id = waiting.id returning b.events, b.recorded
    ), done as (
      select sum(events)::bigint as events, max(recorded) as recorded, count(*) = most as is_more from given
    )
    update hookbridge.log set next = next + done.events, sequenced = done.recorded
    from done where done.events is not null returning next, done.is_more into ended, is_more;
    if ended is not null then
      perform pg_notify('hookbridge_log', ended::text);
      return;
    end if;
    is_more := false;
  end if;
  select next into ended from hookbridge.log;
end $$;

comment on table hookbridge.log is 'One row: the key of its cursors, and the position that the next event gets.';
comment on column hookbridge.batches.position is 'The position of its first event; none until it is sequenced, nor without events.';
comment on column hookbridge.batches.recorded is 'When it got its position; never before the batch that stands before it.';
comment on column hookbridge.events.place is 'Its place in that batch, from 0: its position is that of the batch and this.';
