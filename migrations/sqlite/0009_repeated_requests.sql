-- Whether the request of an attempt was repeated on a new connection (1), because a connection that was used again broke before any
-- byte of the response.
alter table attempts add column repeated integer not null default 0;
