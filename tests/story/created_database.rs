//! The event log stack without a database: the template creates a cluster, its secret, security groups and endpoints, and the
//! functions connect to it.
//!
//! The cluster is the tests' PostgreSQL (`tests/localstack/local_cluster`), and functions run outside any VPC. So this tests that
//! the parts of the stack fit together, not RDS or the VPC.

use serde_json::{Value, json};

use crate::actors::aws::aws;
use crate::actors::database::Database;
use crate::actors::stack::Stack;
use crate::actors::wait_until;

/// A VPC with two subnets without internet access: the ids of the VPC, the subnets and their route table.
fn network() -> [String; 3] {
    let create = |arguments: &[&str], kind: &str| {
        let response = aws(&[&["ec2"], arguments].concat());
        response[kind][format!("{kind}Id")].as_str().unwrap().to_owned()
    };
    let vpc = create(&["create-vpc", "--cidr-block", "10.0.0.0/16"], "Vpc");
    let subnets = [("us-east-1a", "10.0.1.0/24"), ("us-east-1b", "10.0.2.0/24")].map(|(zone, range)| {
        let arguments =
            ["create-subnet", "--vpc-id", &vpc, "--availability-zone", zone, "--cidr-block", range];
        create(&arguments, "Subnet")
    });
    let route_table = create(&["create-route-table", "--vpc-id", &vpc], "RouteTable");
    [vpc, subnets.join(","), route_table]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn an_event_log_stack_without_a_database_creates_one() {
    let database = Database::new().await;
    tokio::task::spawn_blocking(move || run_test(&database)).await.unwrap();
}

fn run_test(database: &Database) {
    let url: http::Uri = database.url.parse().unwrap();
    let port = url.port_u16().unwrap().to_string();
    let [vpc, subnets, route_table] = network();
    let log = Stack::deploy(
        "event-log",
        "",
        &[
            ("DatabasePort", &port),
            ("DatabaseName", url.path().trim_start_matches('/')),
            ("VpcId", &vpc),
            ("SubnetIds", &subnets),
            ("RouteTableIds", &route_table),
            ("Publish", "true"),
        ],
    );
    assert_eq!(log.output("DatabaseHost"), "127.0.0.1");
    let cluster_secret = log.output("DatabaseSecretArn");
    for name in ["Recorder", "Feed"] {
        let configuration =
            aws(&["lambda", "get-function-configuration", "--function-name", &log.resource(name)]);
        let variables = &configuration["Environment"]["Variables"];
        assert_eq!(variables["DATABASE_SECRET_ARN"], cluster_secret, "{name}");
        let expected = format!("postgres://127.0.0.1:{port}{}", url.path());
        assert_eq!(variables["DATABASE_URL"], expected, "{name}: an address without a password");
        assert_eq!(configuration["VpcConfig"]["SubnetIds"].as_array().unwrap().len(), 2, "{name}");
    }
    let endpoints =
        aws(&["ec2", "describe-vpc-endpoints", "--filters", &format!("Name=vpc-id,Values={vpc}")]);
    let services = endpoints["VpcEndpoints"].as_array().unwrap().iter();
    let mut services: Vec<_> = services.map(|endpoint| endpoint["ServiceName"].as_str().unwrap()).collect();
    services.sort_unstable();
    let service_name = |service: &str| format!("com.amazonaws.us-east-1.{service}");
    assert_eq!(services, ["events", "s3", "secretsmanager"].map(service_name));

    assert!(log.output("SecurityGroupIds").starts_with("sg-"));

    let bucket = log.output("ArchiveBucketName");
    let sparkpost = Stack::deploy("sparkpost", "bird:secret", &[("ArchiveBucketName", &bucket)]);
    let time = jiff::Timestamp::now().as_second() - 3600;
    let bounce = json!({"type": "bounce", "event_id": "1", "timestamp": time.to_string(), "rcpt_to": "ann@example.com"});
    let body = json!([{"msys": {"message_event": bounce}}]).to_string();
    assert_eq!(sparkpost.send("bird:secret", &body, None, None).status, 200);
    let token = log.token(&[]);
    let page = wait_until("the batch is not in the log", || {
        let path = "/api/v1/events/message?recipients=ann@example.com";
        let (status, page) = log.request("FunctionUrlEndpoint", &token, "GET", path, &Value::Null);
        (status == 200 && page["total_count"] == 1).then_some(page)
    });
    assert_eq!(page["results"][0]["type"], "bounce");
}
