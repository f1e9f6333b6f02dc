//! The committed templates match the command's output.

use std::process::Command;

use hookbridge::providers;
use hookbridge::template::Template;

use crate::actors::{checkout, run, server::hookbridge};

#[test]
fn the_committed_templates_match_the_command_s_output() {
    for template in Template::all() {
        let name = template.name();
        let path = checkout().join(format!("cloudformation/{name}.yaml"));
        let committed = std::fs::read_to_string(&path).unwrap();
        let printed = run(hookbridge().args(["template", &name]));
        assert!(
            committed == printed,
            "{0} differs from the output of the command: run `cargo run -- template {1} > cloudformation/{1}.yaml`",
            path.display(),
            name
        );
    }
    assert_eq!(
        std::fs::read_dir(checkout().join("cloudformation")).unwrap().count(),
        Template::all().len(),
        "cloudformation/ has a file for each template and no other"
    );
}

#[test]
fn the_readme_lists_every_provider() {
    let readme = std::fs::read_to_string(checkout().join("README.md")).unwrap();
    for provider in providers::PROVIDERS {
        let row = format!("| [{}]({}) | `{}` |", provider.title, provider.documentation, provider.source);
        assert!(readme.contains(&row), "README.md lacks a row that begins: {row}");
    }
}

#[test]
fn cfn_lint_passes() {
    let templates =
        Template::all().into_iter().map(|template| format!("cloudformation/{}.yaml", template.name()));
    run(Command::new("cfn-lint").args(templates).current_dir(checkout()));
}
