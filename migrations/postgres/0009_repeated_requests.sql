-- Whether the request of an attempt was repeated on a new connection (1), because a connection that was used again broke before any
-- byte of the response.
alter table hookbridge.attempts add column repeated bigint not null default 0;
