//! The parameters of the template `generic`, which become the variables `GENERIC_*` of the function.

/// A parameter of the template.
struct Parameter {
    /// The name of the parameter.
    name: &'static str,
    /// The variable of the function.
    variable: &'static str,
    /// The value that the template requires; empty if the parameter may be empty.
    allowed_pattern: &'static str,
    description: &'static str,
}

const PARAMETERS: [Parameter; 22] = [
    required(
        "GenericSource",
        "GENERIC_SOURCE",
        ".+",
        "Source of the events, usually the domain of the provider, for example acme.com.",
    ),
    required(
        "GenericScheme",
        "GENERIC_SCHEME",
        "hmac-sha1|hmac-sha256|hmac-sha512|ed25519|ecdsa-p256|token|basic|bearer|standard-webhooks|jws|body-hmac-sha1|body-hmac-sha256|body-token",
        "How the provider proves that it sent a webhook.",
    ),
    optional(
        "GenericHeader",
        "GENERIC_HEADER",
        "Header with the signature, the token or the JSON Web Signature. Several names are separated by commas. For a token in the URL, enter query:PARAMETER.",
    ),
    optional(
        "GenericPrefix",
        "GENERIC_PREFIX",
        "Text before the signature in the header, for example sha256=.",
    ),
    optional(
        "GenericEncoding",
        "GENERIC_ENCODING",
        "Encoding of the signature, hex (the default), base64 or base64url.",
    ),
    optional(
        "GenericSeparator",
        "GENERIC_SEPARATOR",
        "Character that separates several values in the header, or the word space. In a signature inside the body, the text between the signed fields.",
    ),
    optional(
        "GenericKey",
        "GENERIC_KEY",
        "Format of the key in the secret, which is text (the default), hex, base64 or base64:PREFIX.",
    ),
    optional(
        "GenericSigned",
        "GENERIC_SIGNED",
        "Template of the signed bytes, for example {timestamp}.{body}. The parts are {body} (the default), {timestamp}, {id}, {url} and {method}.",
    ),
    optional(
        "GenericTimestampHeader",
        "GENERIC_TIMESTAMP_HEADER",
        "Header with the signed timestamp in epoch seconds, epoch milliseconds or RFC 3339.",
    ),
    optional(
        "GenericTimestampPrefix",
        "GENERIC_TIMESTAMP_PREFIX",
        "Text before the timestamp in the header with the signature, for example t=, or the word first if the header begins with the timestamp.",
    ),
    optional(
        "GenericToleranceSeconds",
        "GENERIC_TOLERANCE_SECONDS",
        "Maximum age of the timestamp. The default is 300.",
    ),
    optional("GenericIdHeader", "GENERIC_ID_HEADER", "Header with the signed id."),
    optional(
        "GenericBodyHashClaim",
        "GENERIC_BODY_HASH_CLAIM",
        "Claim of a JSON Web Signature with the SHA-256 of the body.",
    ),
    optional(
        "GenericSignatureFields",
        "GENERIC_SIGNATURE_FIELDS",
        "JSON pointers to the signature in the body, separated by commas. One of the signatures must be valid.",
    ),
    optional(
        "GenericSignedFields",
        "GENERIC_SIGNED_FIELDS",
        "JSON pointers to the signed fields of the body, separated by commas.",
    ),
    optional(
        "GenericElements",
        "GENERIC_ELEMENTS",
        "JSON pointer to the array in the body whose elements are signed one by one.",
    ),
    optional(
        "GenericEventType",
        "GENERIC_EVENT_TYPE",
        "Location of the detail-type, which is header:NAME or json:/POINTER. The values of several locations, separated by commas, are joined with dots.",
    ),
    optional(
        "GenericDeliveryId",
        "GENERIC_DELIVERY_ID",
        "Location of the id of the webhook or event, in the same form.",
    ),
    optional(
        "GenericEventTime",
        "GENERIC_EVENT_TIME",
        "Location of the time of the event, in the same form.",
    ),
    optional(
        "GenericSplit",
        "GENERIC_SPLIT",
        "JSON pointer to the array whose elements are the events. A single slash stands for the whole body. Empty for one event.",
    ),
    optional(
        "GenericHandshake",
        "GENERIC_HANDSHAKE",
        "Requests with which the provider tests the URL, separated by commas. They are head, cloudevents (OPTIONS) and query:PARAMETER (GET, answered with the value of the parameter).",
    ),
    optional(
        "GenericSuccess",
        "GENERIC_SUCCESS",
        "Response to an accepted webhook, 202 (the default), 200, 200-empty or 204.",
    ),
];

const fn required(
    name: &'static str,
    variable: &'static str,
    allowed_pattern: &'static str,
    description: &'static str,
) -> Parameter {
    Parameter { name, variable, allowed_pattern, description }
}

const fn optional(name: &'static str, variable: &'static str, description: &'static str) -> Parameter {
    Parameter { name, variable, allowed_pattern: "", description }
}

/// The names of the parameters, each after a comma.
pub(super) fn parameter_names() -> String {
    PARAMETERS.iter().map(|parameter| format!(", {}", parameter.name)).collect()
}

/// The parameters in YAML.
pub(super) fn parameters() -> String {
    let parameter = |parameter: &Parameter| {
        let constraint = match parameter.allowed_pattern {
            "" => "    Default: \"\"\n".to_owned(),
            pattern => format!("    AllowedPattern: \"{pattern}\"\n"),
        };
        format!(
            "  {}:\n    Type: String\n{constraint}    Description: >-\n      {}\n",
            parameter.name, parameter.description
        )
    };
    PARAMETERS.iter().map(parameter).collect()
}

/// The environment variables of the function in YAML.
pub(super) fn variables() -> String {
    let variable =
        |parameter: &Parameter| format!("          {}: !Ref {}\n", parameter.variable, parameter.name);
    PARAMETERS.iter().map(variable).collect()
}
