//! AWS as a storm uses it: LocalStack, or a server of ours in memory.

use serde_json::json;

use crate::actors::aws::{self, Queue, aws, endpoint, name, rotate, secret};
use crate::actors::aws_in_memory::AwsInMemory;

pub(super) enum Cloud {
    LocalStack,
    InMemory(AwsInMemory),
}

impl Cloud {
    pub(super) fn url(&self) -> String {
        match self {
            Self::LocalStack => endpoint(),
            Self::InMemory(aws) => aws.url.clone(),
        }
    }

    pub(super) fn create_bus(&self) -> String {
        let bus = name("soak");
        if matches!(self, Self::LocalStack) {
            aws(&["events", "create-event-bus", "--name", &bus]);
        }
        bus
    }

    /// Creates a queue and returns its URL.
    pub(super) fn create_queue(&self) -> String {
        match self {
            Self::LocalStack => Queue::new().url,
            Self::InMemory(aws) => aws.create_queue(),
        }
    }

    /// Creates a queue for the events of these sources on the bus, and returns its URL.
    pub(super) fn create_queue_on(&self, bus: &str, sources: &[&str]) -> String {
        match self {
            Self::LocalStack => Queue::for_rule(bus, &json!({ "source": sources })).url,
            Self::InMemory(aws) => {
                let url = aws.create_queue();
                aws.create_rule(bus, sources, &url);
                url
            }
        }
    }

    /// Creates a bucket and returns its name. The queue gets a notification of each new object.
    pub(super) fn create_bucket(&self, queue_url: Option<&str>) -> String {
        let bucket = name("soak");
        match self {
            Self::InMemory(aws) => aws.create_bucket(&bucket, queue_url),
            Self::LocalStack => {
                aws(&["s3", "mb", &format!("s3://{bucket}")]);
                if let Some(url) = queue_url {
                    let arn =
                        format!("arn:aws:sqs:us-east-1:000000000000:{}", url.rsplit('/').next().unwrap());
                    let queues = json!([{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]);
                    let configuration = json!({ "QueueConfigurations": queues }).to_string();
                    aws(&[
                        "s3api",
                        "put-bucket-notification-configuration",
                        "--bucket",
                        &bucket,
                        "--notification-configuration",
                        &configuration,
                    ]);
                }
            }
        }
        bucket
    }

    /// Reads an object as text.
    pub(super) fn object(&self, bucket: &str, key: &str) -> Option<String> {
        match self {
            Self::InMemory(aws) => aws.object(bucket, key),
            Self::LocalStack => Some(aws::text(&["s3", "cp", &format!("s3://{bucket}/{key}"), "-"])),
        }
    }

    /// Creates a secret and returns its ARN.
    pub(super) fn create_secret(&self, value: &str) -> String {
        match self {
            Self::LocalStack => secret(value),
            Self::InMemory(aws) => aws.put_secret(&name("secret"), value),
        }
    }

    pub(super) fn rotate_secret(&self, arn: &str, value: &str) {
        match self {
            Self::LocalStack => rotate(arn, value),
            Self::InMemory(aws) => {
                aws.put_secret(arn.rsplit(':').next().unwrap(), value);
            }
        }
    }
}
