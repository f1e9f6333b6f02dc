-- A delivery that is done is a new row to every B-tree that it is in. What grows with time is found by summaries of its pages.
drop index hookbridge.deliveries_message;
drop index hookbridge.deliveries_created;
drop index hookbridge.messages_created;
drop index hookbridge.attempts_started;
create index deliveries_created on hookbridge.deliveries using brin (created) with (autosummarize = on);
create index messages_created on hookbridge.messages using brin (created) with (autosummarize = on);
create index attempts_started on hookbridge.attempts using brin (started) with (autosummarize = on);
