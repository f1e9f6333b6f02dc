-- Messages in the retry queue only wake a worker; they hold no lease of a delivery any more.
update hookbridge.deliveries set held = null, held_until = null where held like 'queue-%';
