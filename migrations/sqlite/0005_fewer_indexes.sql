-- The event that a delivery is about says as much as the message.
drop index deliveries_message;
