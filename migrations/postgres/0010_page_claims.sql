-- A worker claims a page of the log: it stores the deliveries of the page's events when their first attempts have ended. When they all
-- are stored, the claim is deleted. When the claim has expired, another worker creates the deliveries that are missing.
create table hookbridge.page_claims (
  held text primary key,
  first_position bigint not null,
  end_position bigint not null,
  held_until bigint not null
);
alter table hookbridge.dispatch add column held text;
comment on column hookbridge.dispatch.held is 'The lease of the page that ends at the position.';
