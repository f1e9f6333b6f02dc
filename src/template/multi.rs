//! The template `multi`: one function for up to eight providers, each with a path of its own.

/// The maximum number of providers.
const MAX_PROVIDERS: usize = 8;

/// Turns the source of the providers' template into the template `multi`.
pub(super) fn convert(source: &str) -> String {
    let text = replace_between(source, "  {{secret_parameter}}:\n", "{{more_parameters}}", &parameters());
    let text = replace_between(&text, "  WebhookSecret:\n", "  LogGroup:\n", &secrets());
    let text = text.replace("  HasNextSecret: !Not [!Equals [!Ref NextSecret, \"\"]]\n", "");
    let text = replace_between(
        &text,
        "              - !If\n                - HasNextSecret\n",
        "              - Sid: SpillWhatTheBusDoesNotTake\n",
        "",
    );
    let text = text.replace(
        "          NEXT_SECRET_ARN: !If [HasNextSecret, !Ref NextWebhookSecret, !Ref AWS::NoValue]\n",
        "",
    );
    let text = text.replace("\nConditions:\n", &format!("\nConditions:\n{}", conditions()));
    let text = text.replace("\nParameters:\n", &format!("\n{}\nParameters:\n", rules()));
    let text = text.replace("Resource: !Ref WebhookSecret\n", &format!("Resource:\n{}", secret_arns()));
    let text = text.replace("          PROVIDER: {{name}}\n", &providers_variable());
    let text = text.replace("          WEBHOOK_SECRET_ARN: !Ref WebhookSecret\n", &secret_variables());
    // The function writes the payloads of every provider.
    let text = text.replace("/{{name}}/*", "/*");
    text.replace(
        "Parameters: [{{secret_parameter}}, NextSecret",
        &format!("Parameters: [{}", parameter_names()),
    )
}

/// Replaces the text from `start` up to `end` by `replacement`.
fn replace_between(text: &str, start: &str, end: &str, replacement: &str) -> String {
    let parts = text.split_once(start).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    parts.map_or_else(|| text.to_owned(), |(before, after)| format!("{before}{replacement}{end}{after}"))
}

fn for_each_provider(write: impl Fn(usize) -> String) -> String {
    (1..=MAX_PROVIDERS).map(write).collect()
}

fn parameter_names() -> String {
    let names = (1..=MAX_PROVIDERS).map(|number| format!("Provider{number}, Provider{number}Secret"));
    names.collect::<Vec<_>>().join(", ")
}

fn parameters() -> String {
    for_each_provider(|number| {
        let (default, pattern, default_secret) = match number {
            1 => ("", "[a-z0-9-]+", ""),
            _ => ("    Default: \"\"\n", "|[a-z0-9-]+", "    Default: unset\n"),
        };
        format!(
            "  Provider{number}:
    Type: String
{default}    AllowedPattern: \"{pattern}\"
    ConstraintDescription: Enter the name of a provider, for example github.
    Description: >-
      Name of a provider, for example github, as `hookbridge providers` lists it (not generic). Its webhooks arrive at the URL with this name as
      its path.
  Provider{number}Secret:
    Type: String
    NoEcho: true
{default_secret}    AllowedPattern: \"[\\\\s\\\\S]+\"
    ConstraintDescription: The secret must not be empty.
    Description: >-
      The secret of the provider's webhooks. To rotate it, update the stack with the new value first, then change it at the provider.
"
        )
    })
}

fn rules() -> String {
    let rules = for_each_provider(|number| {
        format!(
            "  Secret{number}:
    RuleCondition: !Not [!Equals [!Ref Provider{number}, \"\"]]
    Assertions:
      - Assert: !Not [!Equals [!Ref Provider{number}Secret, unset]]
        AssertDescription: Enter the secret of the provider in Provider{number}.
"
        )
    });
    format!("Rules:\n{rules}")
}

fn conditions() -> String {
    for_each_provider(|number| {
        format!("  HasProvider{number}: !Not [!Equals [!Ref Provider{number}, \"\"]]\n")
    })
}

fn secrets() -> String {
    for_each_provider(|number| {
        format!(
            "  WebhookSecret{number}:
    Type: AWS::SecretsManager::Secret
    Condition: HasProvider{number}
    DeletionPolicy: Delete
    UpdateReplacePolicy: Delete
    Metadata:
      checkov:
        skip:
          - id: CKV_AWS_149
            comment: Encrypted with the AWS managed key; a customer managed key costs more than the rest of the stack.
    Properties:
      Description: !Sub \"Signing secret of ${{Provider{number}}} webhooks; stack ${{AWS::StackName}}\"
      SecretString: !Ref Provider{number}Secret

"
        )
    })
}

fn secret_arns() -> String {
    for_each_provider(|number| {
        format!(
            "                  - !If [HasProvider{number}, !Ref WebhookSecret{number}, !Ref AWS::NoValue]\n"
        )
    })
}

fn providers_variable() -> String {
    let names = (1..=MAX_PROVIDERS).map(|number| format!("!Ref Provider{number}"));
    format!("          PROVIDERS: !Join [\",\", [{}]]\n", names.collect::<Vec<_>>().join(", "))
}

fn secret_variables() -> String {
    for_each_provider(|number| {
        format!(
            "          WEBHOOK_SECRET_ARN_{number}: !If [HasProvider{number}, !Ref WebhookSecret{number}, !Ref AWS::NoValue]\n"
        )
    })
}
