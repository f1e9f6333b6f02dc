-- Incremented by every update of a subscriber's URL, settings or secrets: an update applies only to the version that was read.
alter table subscribers add column version integer not null default 0;
