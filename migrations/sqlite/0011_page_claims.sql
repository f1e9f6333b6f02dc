-- A worker claims a page of the log: it stores the deliveries of the page's events when their first attempts have ended. When they all
-- are stored, the claim is deleted. When the claim has expired, another worker creates the deliveries that are missing.
create table page_claims (
  held text primary key,
  first_position integer not null,
  end_position integer not null,
  held_until integer not null
) strict;
-- The lease of the page that ends at the position.
alter table dispatch add column held text;
