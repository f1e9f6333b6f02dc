-- The order of the log, as in PostgreSQL. Here there is one writer at a time: a batch gets its position with its commit.
create table log (
  one integer primary key default 1 check (one = 1),
  cursor_key blob not null,
  next integer not null default 1,
  sequenced integer not null default 0
) strict;
insert into log (cursor_key) values (randomblob(32));

alter table batches add column position integer;
alter table batches add column oldest integer;
alter table batches add column newest integer;

create index events_order on events (batch, place);
create index events_id on events (id);

update events set place = ranked.place
from (
  select time, id, row_number() over (partition by batch order by place) - 1 as place from events
  where batch in (select id from batches where repeats > 0)
) as ranked
where events.time = ranked.time and events.id = ranked.id;
update batches set position = placed.position, recorded = placed.recorded, oldest = placed.oldest, newest = placed.newest
from (
  select b.id, 1 + sum(b.events) over (order by b.id) - b.events as position,
    max(b.recorded) over (order by b.id) as recorded, span.oldest, span.newest
  from batches b join (select batch, min(time) as oldest, max(time) as newest from events group by batch) span
    on span.batch = b.id
) as placed
where batches.id = placed.id;
update log set next = 1 + (select coalesce(sum(events), 0) from batches where position is not null),
  sequenced = (select coalesce(max(recorded), 0) from batches);

create unique index batches_position on batches (position);
create index batches_recorded on batches (recorded, position);
