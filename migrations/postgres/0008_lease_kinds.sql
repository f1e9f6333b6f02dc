-- Why a delivery is leased: a worker attempts it ('attempt'), or a message in the retry queue waits for it ('queue').
alter table hookbridge.deliveries add column lease_kind text;
update hookbridge.deliveries set lease_kind = 'queue' where held like 'queue-%';
