-- Incremented by every update of a subscriber's URL, settings or secrets: an update applies only to the version that was read.
alter table hookbridge.subscribers add column version bigint not null default 0;
