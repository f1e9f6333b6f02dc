//! The committed templates match the command's output.

use std::process::Command;

use hookbridge::providers;
use hookbridge::template::Template;

use crate::actors::{checkout, run, server::hookbridge};

/// The providers whose templates are committed: each differs from the others in more than names.
const COMMITTED_PROVIDERS: [&str; 4] = ["github", "sparkpost", "stripe", "twilio"];

#[test]
fn the_committed_templates_match_the_command_s_output() {
    let is_committed = |template: &Template| match template {
        Template::Provider(provider) => COMMITTED_PROVIDERS.contains(&provider.name),
        _ => true,
    };
    let committed: Vec<Template> = Template::all().into_iter().filter(is_committed).collect();
    for template in &committed {
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
    let files = std::fs::read_dir(checkout().join("cloudformation")).unwrap().count();
    assert_eq!(files, committed.len(), "cloudformation/ has no other file");
}

#[test]
fn every_provider_has_its_page_and_is_listed() {
    let readme = std::fs::read_to_string(checkout().join("README.md")).unwrap();
    let index = std::fs::read_to_string(checkout().join("docs/providers/index.md")).unwrap();
    let printed = run(hookbridge().args(["providers", "--markdown"]));
    assert!(
        index == printed,
        "docs/providers/index.md is outdated: run `cargo run -- providers --markdown > docs/providers/index.md`"
    );
    for provider in providers::PROVIDERS {
        let name = provider.name;
        let page = std::fs::read_to_string(checkout().join(format!("docs/providers/{name}.md"))).unwrap();
        let printed = run(hookbridge().args(["providers", name]));
        assert!(
            page == printed,
            "docs/providers/{name}.md is outdated: run `cargo run -- providers {name} > docs/providers/{name}.md`"
        );
        let link = format!("[{}](docs/providers/{name}.md)", provider.title);
        assert!(readme.contains(&link), "README.md does not contain {link}");
    }
    let count = format!("hookbridge knows {} providers.", providers::PROVIDERS.len());
    assert!(readme.contains(&count), "README.md does not say: {count}");
    let pages = std::fs::read_dir(checkout().join("docs/providers")).unwrap().count();
    assert_eq!(pages, providers::PROVIDERS.len() + 1, "docs/providers/ has no other page");
}

#[test]
fn cfn_lint_passes() {
    let folder = tempfile::tempdir().unwrap();
    let templates = Template::all().into_iter().map(|template| {
        let path = folder.path().join(format!("{}.yaml", template.name()));
        std::fs::write(&path, template.text()).unwrap();
        path
    });
    run(Command::new("cfn-lint").args(templates).current_dir(checkout()));
}
