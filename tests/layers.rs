//! The layers of the library: a module imports only modules of lower layers, and its own children.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

/// The modules of `src/`, from the lowest layer to the highest.
const LAYERS: &[&[&str]] = &[
    &["console", "util"],
    &["event", "aws", "lambda"],
    &["secrets"],
    &["db"],
    &["log"],
    &["archive", "bus", "providers"],
    &["bridge", "delivery", "poller", "recorder", "template"],
    &["replay"],
    &["api"],
    &["serve"],
    &["cli"],
];

/// The source text of every module of `src/`, without tests and comments.
fn modules() -> BTreeMap<String, String> {
    let mut modules: BTreeMap<String, String> = BTreeMap::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&source).unwrap().iter().next().unwrap().to_str().unwrap();
            let name = name.trim_end_matches(".rs").to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !["bin", "main", "lib"].contains(&&*name)
            {
                let text = std::fs::read_to_string(path).unwrap();
                let text = text.split("#[cfg(test)]\n#[allow").next().unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                modules.entry(name).or_default().extend(code.flat_map(|line| [line, "\n"]));
            }
        }
    }
    modules
}

/// The modules that `text` imports with `crate::`.
fn imports(text: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut imports = Vec::new();
    for path in text.split("crate::").skip(1) {
        match path.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap();
                imports.extend(list.split(',').map(|item| name(item.trim())));
            }
            None => imports.push(name(path)),
        }
    }
    imports
}

#[test]
fn a_module_imports_only_lower_layers() {
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let modules = modules();
    assert!(modules.len() >= 15, "{:?}", modules.keys());
    for (module, text) in &modules {
        let Some(module_layer) = layer(module) else {
            panic!("src/{module} is in no layer of tests/layers.rs")
        };
        for import in imports(text).iter().filter(|import| *import != module && !import.is_empty()) {
            let Some(import_layer) = layer(import) else {
                panic!("src/{module} imports {import}, which is in no layer")
            };
            assert!(
                import_layer < module_layer,
                "src/{module} imports {import}, which is not in a lower layer"
            );
        }
    }
}
