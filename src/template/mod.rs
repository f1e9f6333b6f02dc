//! The CloudFormation template of a provider's stack, made from the provider's constant.
//!
//! The template is a text with a few gaps, so that it reads like what it becomes. Those in `cloudformation/` are
//! its output.

use crate::providers::Provider;

/// The template for `provider`, as YAML.
pub fn of(provider: &Provider) -> String {
    let template =
        if provider.sends_batches() { include_str!("batches.yaml") } else { include_str!("provider.yaml") };
    [
        ("{{name}}", provider.name),
        ("{{title}}", provider.title),
        ("{{source}}", provider.source),
        ("{{documentation}}", provider.documentation),
        ("{{secret_parameter}}", provider.secret_parameter),
        ("{{secret_hint}}", provider.secret_hint),
    ]
    .into_iter()
    .fold(template.to_owned(), |text, (gap, value)| text.replace(gap, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers;

    #[test]
    fn every_gap_is_filled() {
        for provider in providers::ALL {
            let text = of(provider);
            assert!(!text.contains("{{"), "{}", provider.name);
            assert!(text.contains(provider.secret_parameter));
        }
    }
}
