//! The types of the JavaScript module.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use reveille_testkit::{Dir, is_written, needs_all, node};

use crate::rig::{clients, root, script, succeeds};

/// Of each configuration the files it declares the types of.
const PROJECTS: [(&str, &[&str]); 2] = [
    ("tsconfig.json", &["reveille.d.ts", "kept.d.ts"]),
    ("tsconfig.worker.json", &["worker.d.ts"]),
];

fn compiler() -> Option<PathBuf> {
    let compiler = node().map(|folder| Path::new(&folder).join("node_modules/.bin/tsc"));
    if compiler.is_none() {
        println!("{}", needs_all("the types of the client for browsers"));
    }
    compiler
}

#[tokio::test]
async fn the_types_are_what_the_code_says() {
    let Some(compiler) = compiler() else { return };
    let (dir, folder) = (Dir::new(), clients().join("javascript"));
    for (project, declarations) in PROJECTS {
        let mut check = Command::new(&compiler);
        check.arg("--project").arg(folder.join(project)).arg("--outDir").arg(dir.path());
        succeeds(check, 0).await;
        for name in declarations {
            let declared = std::fs::read_to_string(dir.join(name)).unwrap();
            is_written(&folder.join(name), &declared);
        }
    }
}

/// The pages that show how to use it: what a page does, then what its service worker does.
const PAGES: [&str; 3] =
    ["clients/javascript/README.md", "docs/clients.md", "docs/guides/webpush.md"];

/// The JavaScript of a page.
fn examples(page: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join(page)).unwrap();
    let blocks = page.split("```js\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block.to_owned()).collect()
}

#[tokio::test]
async fn whoever_uses_the_module_is_told_of_mistakes() {
    let Some(compiler) = compiler() else { return };
    let dir = Dir::new();
    std::fs::create_dir(dir.join("node_modules")).unwrap();
    symlink(clients().join("javascript"), dir.join("node_modules/reveille-client")).unwrap();
    std::fs::copy(script("types.mts"), dir.join("types.mts")).unwrap();
    let mut of_pages = vec!["types.mts".to_owned()];
    let mut of_workers = Vec::new();
    for (number, page) in PAGES.iter().enumerate() {
        let examples = examples(page);
        assert_eq!(examples.len(), 2, "{page}: a page and a worker");
        for (example, files) in examples.iter().zip([&mut of_pages, &mut of_workers]) {
            // In a project the module has a name; a page that has none loads it by its path.
            let text = example
                .replace("./reveille/reveille.js", "reveille-client")
                .replace("./reveille/worker.js", "reveille-client/worker");
            let name = format!("{number}-{}.mjs", files.len());
            std::fs::write(dir.join(&name), text).unwrap();
            files.push(name);
        }
    }
    let strict = ["--strict", "--allowJs", "--checkJs", "--noEmit", "--target", "es2024"];
    let modules = ["--module", "nodenext", "--ignoreConfig"];
    for (lib, files) in
        [("es2024,dom,dom.iterable", of_pages), ("es2024,webworker,webworker.iterable", of_workers)]
    {
        let mut check = Command::new(&compiler);
        check.args(strict).args(modules).args(["--lib", lib]).args(files);
        check.current_dir(dir.path());
        succeeds(check, 0).await;
    }
}

/// What a bundler or a server is told to take is all there is, and is there.
#[test]
fn the_package_names_its_files() {
    let folder = root().join("clients/javascript");
    let text = std::fs::read_to_string(folder.join("package.json")).unwrap();
    let package: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(package["private"], true);
    let named: Vec<&str> =
        package["files"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
    for name in &named {
        assert!(folder.join(name).exists(), "{name}");
    }
    for entry in package["exports"].as_object().unwrap().values() {
        for file in entry.as_object().unwrap().values() {
            let file = file.as_str().unwrap().trim_start_matches("./");
            assert!(named.contains(&file), "{file}");
        }
    }
}
