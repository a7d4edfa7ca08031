//! What stands on pages is run as it stands there, but for the ports.

use std::process::Command;

use reveille_testkit::{needs_all, php, python};

use crate::rig::{Rig, Settings, TOKEN, clients, root, succeeds};

/// The blocks of a language on a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1);
    let blocks = blocks.filter_map(|rest| rest.split_once("```").map(|(block, _)| block));
    blocks.map(str::to_owned).collect()
}

fn read(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where the servers are in a test.
fn here(rig: &Rig, text: &str) -> String {
    text.replace(":8900", &format!(":{}", rig.ports.intake))
        .replace(":8901", &format!(":{}", rig.ports.public))
        .replace(":8081", &format!(":{}", rig.sessions))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_for_curl_can_be_run() {
    let rig = Rig::start(Settings { has_tokens: true, ..Settings::default() }).await;
    rig.register("alice", "a-phone").await;
    let blocks = blocks(&read(&clients().join("curl.md")), "sh");
    assert!(blocks.len() >= 8, "{} blocks", blocks.len());
    // One session: what a block sets the next ones use. Whatever fails ends it.
    let script = here(&rig, &format!("set -eu\n{}", blocks.join("\n")));
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(rig.folder());
    let said = succeeds(shell, 0).await;
    for part in [
        "\"state\":",
        "\"provider\":\"fcm\"",
        "\"cancelled\":",
        "\"thanks\":false",
        "\"items\":[]",
        "any bytes",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    // And the status is looked at, also where an answer is taken apart.
    let functions = blocks.first().unwrap();
    let asks =
        "id=$(ask http://127.0.0.1:8900/v1/users/alice/subscriptions | field id)\necho woken";
    let script = here(&rig, &format!("set -eu\n{functions}\n{asks}"));
    let refused = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unauthorized"), "{refused:?}");
    let refused = format!("{functions}\nask http://127.0.0.1:8900/v1/users/alice/subscriptions");
    let refused =
        Command::new("sh").args(["-c", &here(&rig, &refused)]).current_dir(rig.folder()).output();
    let refused = refused.unwrap();
    assert_eq!(refused.status.code(), Some(22), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stdout).contains("unauthorized"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_of_python_and_php_can_be_run() {
    let (Some(python), Some(php)) = (python(), php()) else {
        println!("{}", needs_all("the examples in Python and PHP"));
        return;
    };
    let rig = Rig::start(Settings { has_tokens: true, ..Settings::default() }).await;
    let page = read(&root().join("docs/clients.md"));
    for (program, language, begin) in [(python, "python", ""), (php, "php", "<?php\n")] {
        let folder = clients().join(language);
        let found = blocks(&page, language);
        assert_eq!(found.len(), 1, "one example in {language}");
        let text = here(&rig, &found.concat());
        let example = folder.join("Reveille.php");
        let text = text.replace("'Reveille.php'", &format!("'{}'", example.display()));
        let file = rig.dir.join(&format!("example.{language}"));
        std::fs::write(&file, format!("{begin}{text}")).unwrap();
        rig.register("alice", &format!("phone-for-{language}")).await;
        let mut run = Command::new(program);
        run.arg(&file).env("REVEILLE_TOKEN", TOKEN).env("PYTHONPATH", &folder);
        run.env("PYTHONDONTWRITEBYTECODE", "1");
        let said = succeeds(run, 0).await;
        assert!(said.contains("waiting") || said.contains("settled"), "{said}");
        assert!(said.contains("fcm"), "{said}");
    }
}
