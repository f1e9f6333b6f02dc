//! Generates batches like SparkPost's: with the fields and sizes of SparkPost's documentation, and increasing ids and times.

use std::fmt::Write as _;

const TYPES: [(&str, &str); 8] = [
    ("message_event", "injection"),
    ("message_event", "delivery"),
    ("message_event", "delivery"),
    ("track_event", "open"),
    ("track_event", "initial_open"),
    ("track_event", "click"),
    ("message_event", "bounce"),
    ("message_event", "spam_complaint"),
];

pub(crate) struct Generator {
    random: fastrand::Rng,
    id: u64,
    time: u64,
    step: u64,
}

impl Generator {
    /// Creates a generator whose first event is `days` days old, and whose times contain about `events_per_day` events a day.
    pub(crate) fn new(days: u64, events_per_day: usize) -> Self {
        let now = jiff::Timestamp::now().as_millisecond().cast_unsigned();
        let step = 86_400_000 / events_per_day as u64;
        Self { random: fastrand::Rng::with_seed(7), id: now << 20, time: now - days * 86_400_000, step }
    }

    pub(crate) fn batch(&mut self, events: usize) -> String {
        let mut body = String::with_capacity(events * 800);
        for n in 0..events {
            body.push(if n == 0 { '[' } else { ',' });
            self.event(&mut body);
        }
        body.push(']');
        body
    }

    fn event(&mut self, body: &mut String) {
        let random = &mut self.random;
        self.id += 1 + random.u64(..1000);
        self.time += random.u64(..=2 * self.step);
        let (group, kind) = TYPES[random.usize(..TYPES.len())];
        let (recipient, domain) = (random.u32(..1_000_000), random.u32(..200));
        let message: u128 = random.u128(..);
        let _ = write!(
            body,
            r#"{{"msys":{{"{group}":{{"type":"{kind}","campaign_id":"Example Campaign {campaign}","customer_id":"1","delv_method":"esmtp","event_id":"{id}","friendly_from":"sender@mail{sender}.example.com","ip_address":"192.0.2.{ip}","ip_pool":"shared","mailbox_provider":"Gmail","message_id":"{message:032x}","msg_size":"{size}","num_retries":"0","queue_time":"{queue}","rcpt_meta":{{"customer":"{recipient}"}},"rcpt_to":"recipient{recipient}@domain{domain}.example","routing_domain":"domain{domain}.example","sending_domain":"mail{sender}.example.com","sending_ip":"198.51.100.{ip}","subaccount_id":"{subaccount}","subject":"Summer deals are here, number {campaign}!","template_id":"templ-{campaign}","template_version":"1","timestamp":"{time}","transmission_id":"{transmission}""#,
            campaign = random.u32(..50),
            id = self.id,
            sender = random.u32(..8),
            ip = random.u8(1..255),
            size = random.u32(1000..90_000),
            queue = random.u32(..5000),
            subaccount = random.u32(..20),
            time = self.time / 1000,
            transmission = 65_832_150_921_900_000 + u64::from(recipient / 1000),
        );
        if kind == "bounce" {
            body.push_str(r#","bounce_class":"10","error_code":"550","reason":"550 5.1.1 The email account that you tried to reach does not exist""#);
        }
        body.push_str("}}}");
    }
}
