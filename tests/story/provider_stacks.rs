//! The committed templates on LocalStack, with the functions that cargo-lambda built: from a URL to a rule's queue.
//!
//! LocalStack applies neither the reserved concurrency nor the conditions of the two URL permissions, so those are checked in the
//! template's text.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hookbridge::providers;
use hookbridge::template::Template;
use serde_json::{Value, json};

use crate::actors::aws::{Queue, aws, endpoint, name, text};
use crate::actors::server::hookbridge;
use crate::actors::stack::Stack;
use crate::actors::{run, wait_until};

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn a_github_webhook_reaches_a_queue_through_the_stack_and_a_rotation_rejects_none() {
    let mut stack = Stack::deploy("github", "the old secret", &[]);
    assert!(stack.output("LambdaFunctionARN").ends_with(&stack.output("LambdaFunctionName")));
    let event_type = name("push");
    let queue = Queue::for_rule("default", &json!({"source": ["github.com"], "detail-type": [event_type]}));
    let send = |stack: &Stack, secret: &str, body: &str| stack.send(secret, body, Some(&event_type), None);

    let body = r#"{"ref":"refs/heads/main","amount":1.50,"who":"Grüße ✓"}"#;
    let reply = send(&stack, "the old secret", body);
    assert_eq!((reply.status, reply.body.as_str()), (202, "Message forwarded to Amazon EventBridge"));
    let received: Value = serde_json::from_str(&queue.receive()).unwrap();
    assert_eq!(received["detail"], serde_json::from_str::<Value>(body).unwrap());
    assert_eq!(received["detail-type"], *event_type);
    assert!(received["resources"][0].as_str().unwrap().starts_with("urn:webhook:github:"));

    stack.put("update", "the new secret", &[]);
    assert_eq!(
        send(&stack, "the new secret", r#"{"signed":"new"}"#).status,
        202,
        "at once, without a restart"
    );
    assert_eq!(send(&stack, "the old secret", r#"{"signed":"old"}"#).status, 202);
    assert_eq!(send(&stack, "a guess", body).status, 401);
    let mut signed: Vec<String> = (0..2)
        .map(|_| serde_json::from_str::<Value>(&queue.receive()).unwrap()["detail"]["signed"].to_string())
        .collect();
    signed.sort();
    assert_eq!(signed, ["\"new\"", "\"old\""]);
    assert!(queue.is_empty(), "a rejected webhook is not published");

    // With NextSecret, the provider may change first.
    stack.put("update", "the new secret", &[("NextSecret", "the next secret")]);
    for secret in ["the new secret", "the next secret"] {
        let body = json!({"signed_with": secret}).to_string();
        assert_eq!(stack.send(secret, &body, Some(&event_type), None).status, 202, "{secret}");
    }
    stack.put("update", "the next secret", &[("NextSecret", "")]);
    assert_eq!(stack.send("the next secret", r#"{"a":3}"#, Some(&event_type), None).status, 202);

    let log = stack.log();
    assert!(log.contains("wrong-signature") && log.contains("published"), "{log}");
    for hidden in ["the old secret", "the new secret", "the next secret", "refs/heads/main", "sha256="] {
        assert!(!log.contains(hidden), "{hidden} is in the log");
    }
}

/// Sends genuine and forged webhooks to the stack while `change` runs, and checks that exactly the forged ones are refused. The
/// genuine ones are signed with the secret that `change` sets. Returns the number of webhooks.
fn under_load(stack: &Stack, secret: &'static str, change: impl FnOnce(&dyn Fn(&'static str))) -> usize {
    let (signing_secret, is_over) = (Mutex::new(secret), AtomicBool::new(false));
    let send_until_over = || {
        let mut count = 0;
        while !is_over.load(Ordering::Relaxed) {
            let secret = *signing_secret.lock().unwrap();
            count += 1;
            let (secret, expected) = if count % 5 == 0 { ("a guess", 401) } else { (secret, 202) };
            let reply = stack.send(secret, &json!({"a": count}).to_string(), Some("push"), None);
            assert_eq!(reply.status, expected, "signed with {secret}: {}", reply.body);
        }
        count
    };
    std::thread::scope(|scope| {
        let senders = [scope.spawn(send_until_over), scope.spawn(send_until_over)];
        change(&|secret| *signing_secret.lock().unwrap() = secret);
        is_over.store(true, Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    })
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn a_stack_that_is_updated_under_load_refuses_no_genuine_webhook() {
    let mut stack = Stack::deploy("github", "the old secret", &[("SecretTtlSeconds", "2")]);
    let pause = || std::thread::sleep(Duration::from_secs(3));
    let sent = under_load(&stack.clone(), "the old secret", |sign_with| {
        pause();
        stack.put("update", "the new secret", &[("SecretTtlSeconds", "2")]);
        pause();
        sign_with("the new secret");
        pause();
        // An update that changes the function.
        stack.put("update", "the new secret", &[("NextSecret", "the next secret"), ("MemorySize", "256")]);
        sign_with("the next secret");
        pause();
        stack.put("update", "the next secret", &[("NextSecret", ""), ("MemorySize", "256")]);
        pause();
    });
    assert!(sent > 50, "{sent} webhooks are no load");
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn an_unpublished_event_waits_in_the_stack_s_queue() {
    let stack = Stack::deploy("github", "a secret", &[("TimeoutSeconds", "3")]);
    let event_type = name("push");
    let queue = Queue::for_rule("default", &json!({"detail-type": [event_type]}));
    // For this function only, EventBridge is unreachable.
    let function = ["--function-name", &stack.output("LambdaFunctionName")];
    let configuration = aws(&[&["lambda", "get-function-configuration"][..], &function].concat());
    let mut environment = configuration["Environment"].clone();
    environment["Variables"]["AWS_ENDPOINT_URL_EVENTBRIDGE"] = "http://127.0.0.1:1".into();
    let environment = environment.to_string();
    let arguments = ["lambda", "update-function-configuration", "--environment", &environment];
    aws(&[&arguments[..], &function].concat());
    let body = r#"{"who":"Grüße ✓"}"#;
    assert_eq!(stack.send("a secret", body, Some(&event_type), None).status, 202);
    assert!(stack.log().contains("spilled"), "{}", stack.log());
    let received: Value = serde_json::from_str(&queue.receive()).unwrap();
    assert_eq!(received["detail"], serde_json::from_str::<Value>(body).unwrap());
    assert_eq!(received["detail-type"], *event_type);
    // A message that can never be published becomes a dead letter at once, with its reason.
    let spill_queue = stack.output("SpillQueueUrl");
    aws(&["sqs", "send-message", "--queue-url", &spill_queue, "--message-body", "no entry"]);
    let redrive = || {
        let mut command = hookbridge();
        run(command.env("AWS_ENDPOINT_URL", endpoint()).args(["redrive", "--queue", &spill_queue]))
    };
    let shown = wait_until("the dead letter", || {
        Some(redrive()).filter(|text| text.contains("dead letter queue  1"))
    });
    assert!(shown.contains("\n  1 of 1: not the JSON of an entry (line 1, column 2)\n"), "{shown}");
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn an_oversized_event_is_stored_in_the_stack_s_overflow_bucket() {
    let bucket = name("overflow");
    aws(&["s3", "mb", &format!("s3://{bucket}")]);
    let stack =
        Stack::deploy("github", "a secret", &[("OverflowBucket", &bucket), ("MaxEntryBytes", "1000")]);
    let event_type = name("push");
    let queue = Queue::for_rule("default", &json!({"detail-type": [event_type]}));
    let body = format!(r#"{{"text":"{}"}}"#, "Grüße ".repeat(1000));
    assert_eq!(stack.send("a secret", &body, Some(&event_type), None).status, 202);
    let received: Value = serde_json::from_str(&queue.receive()).unwrap();
    let claim_check = &received["detail"]["overflow"];
    assert_eq!((&claim_check["bucket"], &claim_check["size"]), (&bucket.clone().into(), &body.len().into()));
    let object_url = format!("s3://{bucket}/{}", claim_check["key"].as_str().unwrap());
    assert_eq!(text(&["s3", "cp", &object_url, "-"]), body, "byte for byte");
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn a_sparkpost_batch_reaches_the_bucket_of_the_stack() {
    let stack = Stack::deploy("sparkpost", "hooks:password", &[("ArchivePrefix", "raw/mail")]);
    let body = r#"[{"msys":{"message_event":{"type":"bounce","who":"Grüße ✓"}}}]"#;
    let reply = stack.send("hooks:password", body, None, None);
    assert_eq!((reply.status, reply.body.as_str()), (200, "Batch stored"));
    assert_eq!(stack.send("hooks:guess", body, None, None).status, 401);
    assert_eq!(stack.send("hooks:password", r#"[{"msys":{}}]"#, None, None).body, "Nothing to store");
    let archive = stack.output("ArchiveUrl");
    assert!(archive.ends_with("/raw/mail/sparkpost/"), "{archive}");
    let bucket = archive.trim_start_matches("s3://").split('/').next().unwrap();
    let listed = aws(&["s3api", "list-objects-v2", "--bucket", bucket]);
    let keys: Vec<&str> =
        listed["Contents"].as_array().unwrap().iter().map(|o| o["Key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!(text(&["s3", "cp", &format!("s3://{bucket}/{}", keys[0]), "-"]), body, "byte for byte");
    assert!(!stack.log().contains("hooks:"), "the secret is not in the log");
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn a_stripe_webhook_reaches_a_custom_bus() {
    let bus = name("orders");
    let created = aws(&["events", "create-event-bus", "--name", &bus]);
    let mut stack = Stack::deploy("stripe", "whsec_test", &[("EventBusName", &bus)]);
    let queue = Queue::for_rule(&bus, &json!({"source": ["stripe.com"]}));
    let body = "{\n  \"id\": \"evt_7\",\n  \"type\": \"invoice.paid\",\n  \"created\": 1686089970\n}";
    assert_eq!(stack.send("whsec_test", body, None, None).status, 202);
    let received: Value = serde_json::from_str(&queue.receive()).unwrap();
    assert_eq!(received["detail-type"], "invoice.paid");
    assert_eq!(received["time"], "2023-06-06T22:19:30Z");
    assert_eq!(received["resources"], json!(["urn:webhook:stripe:evt_7"]));
    let arn = created["EventBusArn"].as_str().unwrap();
    stack.put("update", "whsec_test", &[("EventBusName", arn)]);
    assert_eq!(stack.send("whsec_test", &body.replace("evt_7", "evt_8"), None, None).status, 202);
    let received: Value = serde_json::from_str(&queue.receive()).unwrap();
    assert_eq!(received["resources"], json!(["urn:webhook:stripe:evt_8"]), "by its ARN, too");
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn a_twilio_webhook_verifies_behind_a_custom_domain_with_a_query() {
    let public = "https://hooks.example/voice";
    let stack = Stack::deploy("twilio", "12345", &[("PublicUrl", public)]);
    let queue = Queue::for_rule("default", &json!({"source": ["twilio.com"], "detail": {"From": ["+1555"]}}));
    let signed_url = format!("{public}?shop=1&x=a%20b");
    let reply = stack.send("12345", "From=%2B1555&Body=Gr%C3%BC%C3%9Fe&Empty=", None, Some(&signed_url));
    assert_eq!(reply.status, 202);
    let received: Value = serde_json::from_str(&queue.receive()).unwrap();
    assert_eq!(received["detail"], json!({"From": "+1555", "Body": "Grüße", "Empty": ""}));
    let reply = stack.send("12345", r#"{"From":"+1555"}"#, None, Some(public));
    assert_eq!(reply.status, 202);
    assert_eq!(serde_json::from_str::<Value>(&queue.receive()).unwrap()["detail"], json!({"From": "+1555"}));
    assert_eq!(stack.send("12345", "From=%2B1555", None, Some("https://other.example/voice")).status, 401);
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn a_notion_stack_without_a_secret_stores_the_one_that_notion_sends() {
    let mut stack = Stack::deploy("notion", "", &[]);
    let secret_arn = stack.resource("WebhookSecret");
    assert!(stack.output("HowToReadTheSecret").contains(&secret_arn));
    let stored = || {
        let arguments = ["secretsmanager", "get-secret-value", "--secret-id", &secret_arn];
        aws(&arguments)["SecretString"].as_str().unwrap().to_owned()
    };
    let handshake = br#"{"verification_token":"secret_1"}"#;
    assert_eq!(stack.post("/", &[("content-type", b"application/json")], handshake).status, 200);
    assert_eq!(stored(), "secret_1");
    stack.put("update", "", &[("MemorySize", "256")]);
    assert_eq!(stored(), "secret_1", "an update of another parameter keeps the stored secret");
    let body = providers::find_provider("notion").unwrap().samples[0].body;
    assert_eq!(stack.send("secret_1", body, None, None).status, 202);
    assert_eq!(stack.send("secret_2", body, None, None).status, 401);
}

#[test]
fn a_provider_template_grants_least_privilege() {
    for provider in providers::PROVIDERS.into_iter().filter(|p| !p.sends_batches()) {
        let text = Template::Provider(provider).text();
        // Only a provider that transmits the secret needs one more permission, on that secret.
        let stores_secret = ["asana", "notion"].contains(&provider.name);
        let mut actions = lines_with_prefix(&text, "Action: ");
        let put_secret = actions.iter().position(|line| line.contains("PutSecretValue"));
        assert_eq!(put_secret.is_some(), stores_secret, "{}", provider.name);
        put_secret.map(|index| actions.remove(index));
        let mut resources = lines_with_prefix(&text, "Resource: ");
        if stores_secret {
            assert_eq!(resources.remove(1), "Resource: !Ref WebhookSecret");
        }
        assert_eq!(
            actions,
            [
                "Action: sts:AssumeRole",
                "Action: events:PutEvents",
                "Action: secretsmanager:GetSecretValue",
                "Action: secretsmanager:GetSecretValue",
                "Action: sqs:SendMessage",
                "Action: s3:PutObject",
                "Action: s3:PutObject",
                "Action: [logs:CreateLogStream, logs:PutLogEvents]",
                "Action: lambda:InvokeFunctionUrl",
                "Action: lambda:InvokeFunction",
                "Action: sts:AssumeRole",
                "Action: events:PutEvents",
                "Action: [sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes]",
                "Action: sqs:SendMessage",
                "Action: [logs:CreateLogStream, logs:PutLogEvents]",
            ]
        );
        assert_eq!(
            resources,
            [
                BUS,
                "Resource: !Ref WebhookSecret",
                "Resource: !Ref NextWebhookSecret",
                "Resource: !GetAtt SpillQueue.Arn",
                &format!(
                    "Resource: !Sub \"arn:${{AWS::Partition}}:s3:::${{OverflowBucket}}/{}/*\"",
                    provider.name
                ),
                &format!(
                    "Resource: !Sub \"arn:${{AWS::Partition}}:s3:::${{ArchiveBucketName}}/${{ArchivePrefix}}/{}/*\"",
                    provider.name
                ),
                "Resource: !GetAtt LogGroup.Arn",
                BUS,
                "Resource: !GetAtt SpillQueue.Arn",
                "Resource: !GetAtt SpillDeadLetterQueue.Arn",
                "Resource: !GetAtt RedriveLogGroup.Arn",
            ]
        );
        // Buckets of the same name in other accounts are excluded.
        assert_eq!(
            lines_with_prefix(&text, "Condition: {"),
            vec!["Condition: {StringEquals: {s3:ResourceAccount: !Ref AWS::AccountId}}"; 2]
        );
        assert!(text.contains("FunctionUrlAuthType: NONE") && text.contains("InvokedViaFunctionUrl: true"));
        assert!(!text.contains("Transform:"));
    }
}

/// LocalStack applies neither concurrency nor alarms, so the template's text is checked.
#[test]
fn a_provider_template_has_sound_defaults_and_alarms() {
    for provider in providers::PROVIDERS.into_iter().filter(|p| !p.sends_batches()) {
        let text = Template::Provider(provider).text();
        let secret = format!("  {}:\n    Type: String\n    NoEcho: true\n", provider.secret_parameter());
        assert!(text.contains(&secret), "{}: its secret parameter is not NoEcho", provider.name);
        for (parameter, default) in [
            ("EventBusName", "default"),
            ("MaxEntryBytes", "262144"),
            ("Architecture", "arm64"),
            ("MemorySize", "128"),
            ("TimeoutSeconds", "9"),
            ("ReservedConcurrency", "10"),
            ("SecretTtlSeconds", "300"),
            ("PreviousSecretGraceSeconds", "86400"),
            ("LogRetentionDays", "30"),
            ("LambdaInvocationThreshold", "2000"),
        ] {
            let block = block(&text, parameter);
            assert!(block.contains(&format!("\n    Default: {default}\n")), "{parameter} in {block}");
        }
        let function = block(&text, "Function");
        for line in [
            "ReservedConcurrentExecutions: !If [Reserves, !Ref ReservedConcurrency, !Ref AWS::NoValue]",
            "MemorySize: !Ref MemorySize",
            "Timeout: !Ref TimeoutSeconds",
            "Architectures: [!Ref Architecture]",
            "SECRET_TTL_SECONDS: !Ref SecretTtlSeconds",
            "PREVIOUS_SECRET_GRACE_SECONDS: !Ref PreviousSecretGraceSeconds",
            "MAX_ENTRY_BYTES: !Ref MaxEntryBytes",
        ] {
            assert!(function.contains(line), "{line} in {function}");
        }
        assert!(block(&text, "LogGroup").contains("RetentionInDays: !Ref LogRetentionDays"));
        let (actions, alarms) = (
            "AlarmActions: !If [Alarmed, [!Ref AlarmTopicArn], []]",
            [
                ("Invocations", "MetricName: Invocations"),
                ("Errors", "MetricName: Errors"),
                ("Throttles", "MetricName: Throttles"),
                ("ServerErrors", "MetricName: Url5xxCount"),
                ("Failed", "MetricName: Failed"),
                ("RedriveErrors", "MetricName: Errors"),
                ("SpillWaiting", "MetricName: ApproximateNumberOfMessages"),
                ("SpillDeadLetter", "MetricName: ApproximateNumberOfMessages"),
            ],
        );
        for (alarm, metric) in alarms {
            let alarm = block(&text, &format!("{alarm}Alarm"));
            assert!(
                alarm.contains("\n    Type: AWS::CloudWatch::Alarm\n") && alarm.contains(actions),
                "{alarm}"
            );
            assert!(alarm.contains(metric), "{metric} in {alarm}");
        }
        assert_eq!(text.matches("Type: AWS::CloudWatch::Alarm\n").count(), alarms.len());
        assert!(block(&text, "Dashboard").contains("Type: AWS::CloudWatch::Dashboard"));
    }
}

#[test]
fn the_batch_template_grants_least_privilege() {
    let text = Template::find("sparkpost").unwrap().text();
    assert_eq!(
        lines_with_prefix(&text, "Action: "),
        [
            // A deny statement, for requests without TLS.
            "Action: s3:*",
            "Action: sts:AssumeRole",
            "Action: secretsmanager:GetSecretValue",
            "Action: secretsmanager:GetSecretValue",
            "Action: s3:PutObject",
            "Action: [logs:CreateLogStream, logs:PutLogEvents]",
            "Action: lambda:InvokeFunctionUrl",
            "Action: lambda:InvokeFunction",
        ]
    );
    assert_eq!(
        lines_with_prefix(&text, "Resource: "),
        [
            "Resource: [!GetAtt ArchiveBucket.Arn, !Sub \"${ArchiveBucket.Arn}/*\"]",
            "Resource: !Ref WebhookSecret",
            "Resource: !Ref NextWebhookSecret",
            "Resource: !If \
             - MakesBucket \
             - !Sub \"${ArchiveBucket.Arn}/${ArchivePrefix}/sparkpost/*\" \
             - !Sub \"arn:${AWS::Partition}:s3:::${ArchiveBucketName}/${ArchivePrefix}/sparkpost/*\"",
            "Resource: !GetAtt LogGroup.Arn",
        ]
    );
    assert!(text.contains("FunctionUrlAuthType: NONE") && text.contains("InvokedViaFunctionUrl: true"));
    assert!(!text.contains("Transform:"));
}

#[test]
fn the_poller_template_grants_least_privilege_and_no_public_access() {
    let text = Template::find("stripe-poller").unwrap().text();
    assert_eq!(
        lines_with_prefix(&text, "Action: "),
        [
            "Action: sts:AssumeRole",
            "Action: secretsmanager:GetSecretValue",
            "Action: s3:PutObject",
            "Action: [s3:GetObject, s3:PutObject]",
            "Action: s3:ListBucket",
            "Action: [logs:CreateLogStream, logs:PutLogEvents]",
            // The schedule.
            "Action: lambda:InvokeFunction",
        ]
    );
    assert_eq!(
        lines_with_prefix(&text, "Resource: "),
        [
            "Resource: !Ref ApiKey",
            "Resource: !Sub \"arn:${AWS::Partition}:s3:::${ArchiveBucketName}/${ArchivePrefix}/stripe/polled.*\"",
            "Resource: !Sub \"arn:${AWS::Partition}:s3:::${ArchiveBucketName}/.polls/${AWS::StackName}.json\"",
            "Resource: !Sub \"arn:${AWS::Partition}:s3:::${ArchiveBucketName}\"",
            "Resource: !GetAtt LogGroup.Arn",
        ]
    );
    assert!(!text.contains("AWS::Lambda::Url") && !text.contains("Transform:"));
}

/// The resource of the permission to publish: one bus.
const BUS: &str = "Resource: !If \
    - BusIsArn \
    - !Ref EventBusName \
    - !Sub \"arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${EventBusName}\"";

/// The lines of a template that begin with `prefix`, each with its continuation.
fn lines_with_prefix(text: &str, prefix: &str) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.find(|line| line.trim_start().starts_with(prefix)) {
        let rest = lines.clone().take_while(|next| indent(next) > indent(line)).map(str::trim);
        found.push([line.trim()].into_iter().chain(rest).collect::<Vec<_>>().join(" "));
    }
    found
}

/// The text of the parameter or resource of this name.
fn block(text: &str, name: &str) -> String {
    let start = text.find(&format!("\n  {name}:\n")).unwrap_or_else(|| panic!("there is no {name}"));
    let rest = &text[start + 1..];
    let body = rest.lines().skip(1).take_while(|line| line.is_empty() || line.starts_with("    "));
    let length: usize = body.map(|line| line.len() + 1).sum();
    rest[..rest.find('\n').unwrap() + 1 + length].to_owned()
}

/// LocalStack has neither load balancers nor HTTP APIs and replaces them by names, so only the permissions, the security group and
/// the alarms are real here. `front_doors.rs` shows how the function answers these front doors.
#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn a_front_door_may_invoke_a_function_that_has_no_url() {
    let provider = Stack::deploy("github", "a secret", &[("FunctionUrl", "false")]);
    let function = provider.output("LambdaFunctionARN");
    let parsed = |response: Value, member: &str| -> Value {
        serde_json::from_str(response[member].as_str().unwrap()).unwrap()
    };
    let statements = || {
        let policy = parsed(aws(&["lambda", "get-policy", "--function-name", &function]), "Policy");
        policy["Statement"].as_array().unwrap().clone()
    };
    let urls = aws(&["lambda", "list-function-url-configs", "--function-name", &function]);
    assert_eq!(urls["FunctionUrlConfigs"], json!([]));

    let vpc = aws(&["ec2", "describe-vpcs"])["Vpcs"][0]["VpcId"].as_str().unwrap().to_owned();
    let subnets = aws(&["ec2", "describe-subnets"]);
    let subnets: Vec<_> = (0..2).map(|n| subnets["Subnets"][n]["SubnetId"].as_str().unwrap()).collect();
    let certificate = "arn:aws:acm:us-east-1:000000000000:certificate/1";
    let domain = [
        ("FunctionArn", function.as_str()),
        ("DomainName", "hooks.example.com"),
        ("CertificateArn", certificate),
    ];
    let network = [("VpcId", vpc.as_str()), ("SubnetIds", &subnets.join(","))];
    Stack::deploy("front-door-alb", "", &[&domain[..], &network].concat());
    let [alb] = &statements()[..] else { panic!("one permission, for load balancers: {:?}", statements()) };
    assert_eq!(alb["Principal"]["Service"], "elasticloadbalancing.amazonaws.com");
    assert_eq!(
        alb["Condition"]["ArnLike"]["AWS:SourceArn"],
        "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/*"
    );

    Stack::deploy("front-door-http-api", "", &domain[..1]);
    let [_, api] = &statements()[..] else { panic!("another permission: {:?}", statements()) };
    assert_eq!(api["Principal"]["Service"], "apigateway.amazonaws.com");
    let source = api["Condition"]["ArnLike"]["AWS:SourceArn"].as_str().unwrap();
    assert!(source.starts_with("arn:aws:execute-api:us-east-1:000000000000:") && source.ends_with("/*"));
}
